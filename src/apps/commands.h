#pragma once

// The subcommands of dpmesh: what each is told, and its entry point. main.cpp reads the command
// line into these; every entry point returns the exit code.

#include <datapunk/mesh/filter.h>

#include <cstdint>
#include <string>
#include <vector>

namespace datapunk::mesh::apps {

enum ExitCode : int {
    exit_ok = 0,
    exit_failed = 1,       // it was tried and did not work; for validate: problems were found
    exit_usage = 2,        // the command line is wrong
    exit_unreachable = 3,  // the registry or agent cannot be reached
};

enum class Output : std::uint8_t { table, json };

// Where the registry is, for the commands that ask it.
struct RegistryAccess {
    std::string address;  // host:port; empty = CONSUL_HTTP_ADDR or 127.0.0.1:8500
    std::string token;    // empty = CONSUL_HTTP_TOKEN
    std::uint32_t timeout_ms = 5000;
    Output output = Output::table;
};

struct AgentCommand {
    std::vector<std::string> config;  // files, directories or "-"
    bool dev = false;
    bool take_over = false;
};

struct RegistryCommand {
    std::string address = "127.0.0.1";
    std::uint16_t port = 8500;
    std::uint16_t dns_port = 8600;
    bool no_dns = false;
    std::string data_dir;
    bool dev = false;
    std::string log_level = "info";
    std::size_t connections_per_client = 2'000;
    bool acl = false;
    std::string acl_default_policy = "allow";
    std::string acl_token_file;
    std::string tls_certificate;  // PEM files; empty: plain text
    std::string tls_key;
    std::string tls_client_ca;
    std::string node;  // empty: this machine's name
};

// Where an agent's admin API is.
struct AgentAccess {
    std::string agent = "127.0.0.1:19000";
    std::string token;  // empty = DPMESH_ADMIN_TOKEN
    std::uint32_t timeout_ms = 5000;
    Output output = Output::table;
};

struct ExplainCommand {
    std::string what;  // a request's id, or a service's name
    bool is_service = false;
    AgentAccess access;
};

struct ReloadCommand {
    AgentAccess access{.timeout_ms = 30'000};
    bool dry_run = false;
};

struct SnapshotCommand {
    RegistryAccess access;
    std::string file;
};

struct CaCommand {
    std::string dir = "mesh-ca";
    std::string trust_domain = "mesh.example";  // init
    std::string life;
    std::string name;                    // issue: the id's path
    std::vector<std::string> dns_names;  // issue
    std::vector<std::string> addresses;  // issue
    std::string out;                     // issue: path without .pem and .key
};

struct ValidateCommand {
    std::vector<std::string> config;
};

struct EndpointsCommand {
    RegistryAccess access;
    std::string name;
    DiscoveryFilter filter;
    std::vector<std::string> meta;  // key=value, for the filter
};

struct RegisterCommand {
    RegistryAccess access;
    std::string name;
    std::string id;
    std::string host;
    std::uint16_t port = 0;
    std::uint32_t weight = 1;
    std::vector<std::string> tags;
    std::vector<std::string> meta;  // key=value
    std::string version;
    std::string environment;
    std::string region;
    std::string zone;
    std::vector<std::string> capabilities;
    std::vector<std::string> dependencies;
    std::string check = "http";  // http, tcp, udp, grpc, ttl, none
    std::string check_path = "/health";
    std::string check_target;        // empty: host:port
    std::string check_grpc_service;  // grpc; empty: the server as a whole
    bool check_tls = false;          // http, grpc
    std::string check_interval = "10s";
    std::string check_timeout = "5s";
};

struct DeregisterCommand {
    RegistryAccess access;
    std::string id;
};

int run_agent(const AgentCommand& command);
int run_registry(const RegistryCommand& command);
int run_explain(const ExplainCommand& command);
int run_reload(const ReloadCommand& command);
int run_snapshot_save(const SnapshotCommand& command);
int run_snapshot_restore(const SnapshotCommand& command);
int run_snapshot_inspect(const SnapshotCommand& command);
int run_ca_init(const CaCommand& command);
int run_ca_issue(const CaCommand& command);
int run_validate(const ValidateCommand& command);
int run_schema();
int run_services(const RegistryAccess& access);
int run_endpoints(const EndpointsCommand& command);
int run_watch(const EndpointsCommand& command);
int run_register(const RegisterCommand& command);
int run_deregister(const DeregisterCommand& command);
int run_version(Output output);

}  // namespace datapunk::mesh::apps
