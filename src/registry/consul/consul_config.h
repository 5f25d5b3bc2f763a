#pragma once

// ConsulConfig: where the Consul agent is and what it needs to hear. A value; reads nothing.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <map>
#include <string>

namespace datapunk::mesh::registry::consul {

// Where registrations go.
enum class ConsulRegistration : std::uint8_t {
    agent,    // to the agent at `host`, which is beside us and runs their checks
    catalog,  // into the catalog, by way of any agent or server: see consul_backend.h
};

struct ConsulConfig {
    std::string host = "127.0.0.1";  // of the agent beside us: registrations belong to its node
    std::uint16_t port = 8500;
    bool https = false;
    // With https. Each is PEM text or the path of a PEM file.
    std::string ca;           // or a directory of them; empty: the system's roots
    std::string certificate;  // ours, for agents that ask for one; needs private_key
    std::string private_key;
    std::string server_name;  // what the certificate must be for; empty = host
    bool verify = true;       // false: any certificate will do
    std::string token;        // sent as X-Consul-Token; empty = anonymous
    // Holds the token instead; read again while running, so that it may be replaced.
    std::string token_file;
    std::string user;  // HTTP basic authentication, for a proxy before the agent; empty = none
    std::string password;
    std::string datacenter;  // asked about; empty = the agent's own. Registrations stay local.
    // Any server may answer questions, not only the leader: they go on working through an election.
    bool stale = true;
    std::string filter;  // of instances, in Consul's filter language; empty = all
    std::string near;    // sort by distance from this node, "_agent" = the agent's; empty = no
    ConsulRegistration registration = ConsulRegistration::agent;
    std::string node;  // with catalog: the node that registrations belong to. Not an agent's name!
    std::string node_address;
    // An answer is stale if a server last heard of its leader so long ago.
    Duration last_contact_max = std::chrono::seconds(30);
    // Longest blocking query, whatever the asker would wait. At least 1 s, at most Consul's 10 min.
    Duration wait_max = std::chrono::minutes(10);
    // Beyond what a blocking query may take by Consul's own rules (wait + wait/16).
    Duration wait_slack = std::chrono::seconds(5);
    std::size_t body_bytes_max = 64UL * 1024 * 1024;  // an answer of about 50,000 endpoints

    friend bool operator==(const ConsulConfig&, const ConsulConfig&) = default;
};

using Environment = std::map<std::string, std::string, std::less<>>;

// `base` with what the variables of Consul's own client say instead: CONSUL_HTTP_ADDR ("host",
// "host:port", "http://host:port", "https://…"), _TOKEN, _TOKEN_FILE, _AUTH ("user:password"), _SSL
// and _SSL_VERIFY, CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY and
// CONSUL_TLS_SERVER_NAME. CONSUL_NAMESPACE and CONSUL_PARTITION are Consul Enterprise's and mean
// nothing here. Unset and empty variables change nothing.
Result<ConsulConfig> with_environment(ConsulConfig base, const Environment& environment);

// Every field usable? The error names all that are not.
Result<> check(const ConsulConfig& config);

}  // namespace datapunk::mesh::registry::consul
