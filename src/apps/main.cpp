// dpmesh: the command line. Only reads it; each subcommand is a file of its own.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "apps/commands.h"

namespace {

using namespace datapunk::mesh::apps;  // NOLINT: this file is nothing but their wiring

const std::map<std::string, Output> kOutputs = {{"table", Output::table}, {"json", Output::json}};

void add_output(CLI::App& command, Output& output) {
    command
        .add_option_function<std::string>(
            "-o,--output",
            [&output](const std::string& word) { output = kOutputs.at(word); },
            "table or json (one object a line for streams)"
        )
        ->check(CLI::IsMember({"table", "json"}))
        ->option_text("table|json");
}

void add_agent(CLI::App& command, AgentAccess& access) {
    command.add_option("--agent", access.agent, "Admin API of the agent, host:port")
        ->capture_default_str();
    command.add_option("--token", access.token, "Its token (default: $DPMESH_ADMIN_TOKEN)");
    command.add_option("--timeout-ms", access.timeout_ms, "Longest wait for an answer")
        ->capture_default_str()
        ->check(CLI::Range(1, 600'000));
    add_output(command, access.output);
}

void add_filter(CLI::App& command, EndpointsCommand& wanted) {
    command.add_option("--tag", wanted.filter.tags, "Only those with this tag; may be repeated");
    command.add_option("--meta", wanted.meta, "Only those with this key=value; may be repeated");
    command.add_option("--version", wanted.filter.version, "Only those of this version");
    command.add_option(
        "--environment", wanted.filter.environment, "Only those of this environment"
    );
    command.add_option("--region", wanted.filter.region, "Only those in this region");
    command.add_option("--zone", wanted.filter.zone, "Only those in this zone");
    command.add_option(
        "--capability", wanted.filter.capabilities, "Only those that can do this; may be repeated"
    );
    command.add_flag("--healthy", wanted.filter.healthy, "Without those that are critical");
}

void add_access(CLI::App& command, RegistryAccess& access) {
    command.add_option(
        "--registry",
        access.address,
        "Registry to ask, host:port (default: $CONSUL_HTTP_ADDR, else 127.0.0.1:8500)"
    );
    command.add_option("--token", access.token, "Access token (default: $CONSUL_HTTP_TOKEN)");
    command.add_option("--timeout-ms", access.timeout_ms, "Longest wait for an answer")
        ->capture_default_str()
        ->check(CLI::Range(1, 600'000));
    add_output(command, access.output);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app(
        "dpmesh: registration, discovery, load balancing, circuit breaking, retries and metrics\n"
        "for services on plain machines. One binary: sidecar, registry and command line.\n"
    );
    app.require_subcommand(1);
    app.set_help_all_flag("--help-all", "Help of every subcommand");
    app.footer(
        "Exit codes: 0 ok, 1 failed, 2 usage, 3 registry or agent unreachable.\n"
        "Try: dpmesh agent --dev     then: dpmesh services"
    );
    int code = exit_ok;

    AgentCommand agent;
    auto* agent_cli = app.add_subcommand(
        "agent", "Run the sidecar (and, by default, an embedded registry) until SIGTERM"
    );
    agent_cli->add_option(
        "-c,--config",
        agent.config,
        "Configuration: files, directories of *.yaml, or - for standard input (default: "
        "$MESH_CONFIG)"
    );
    agent_cli->add_flag(
        "--dev", agent.dev, "Registry in memory, nothing durable: for trying things out"
    );
    agent_cli->add_flag(
        "--take-over",
        agent.take_over,
        "Take the place of the agent that runs with this configuration (upgrade.socket): it hands "
        "over its sockets and drains; nothing is refused. Alone if there is none"
    );
    agent_cli->callback([&] { code = run_agent(agent); });

    RegistryCommand registry;
    auto* registry_cli = app.add_subcommand(
        "registry", "Run the registry alone: Consul's HTTP API, durable in --data-dir"
    );
    registry_cli->add_option("--address", registry.address, "Address to listen on")
        ->capture_default_str();
    registry_cli->add_option("--port", registry.port, "Port; 0 takes a free one")
        ->capture_default_str();
    registry_cli
        ->add_option(
            "--dns-port",
            registry.dns_port,
            "Port of DNS, UDP and TCP; 0 takes a free one. Without DNS if the default is taken"
        )
        ->capture_default_str();
    registry_cli->add_flag("--no-dns", registry.no_dns, "No DNS server");
    registry_cli->add_option("--data-dir", registry.data_dir, "Directory of the durable state");
    registry_cli->add_flag("--dev", registry.dev, "In memory, nothing durable");
    registry_cli
        ->add_option(
            "--connections-per-client",
            registry.connections_per_client,
            "Open connections of one address; more are answered 429; 0 = no limit"
        )
        ->capture_default_str();
    registry_cli->add_flag("--acl", registry.acl, "Access control: ask for tokens");
    registry_cli
        ->add_option(
            "--acl-default-policy",
            registry.acl_default_policy,
            "What may be done where no rule speaks of it"
        )
        ->check(CLI::IsMember({"allow", "deny"}))
        ->capture_default_str();
    registry_cli->add_option(
        "--acl-token-file",
        registry.acl_token_file,
        "File with a token that may do everything; without it the first one is bootstrapped"
    );
    auto* tls_certificate = registry_cli->add_option(
        "--tls-certificate",
        registry.tls_certificate,
        "PEM file of its certificate, then those that lead to its authority: HTTPS instead of "
        "HTTP. Read again at SIGHUP"
    );
    registry_cli
        ->add_option("--tls-key", registry.tls_key, "PEM file of the certificate's private key")
        ->needs(tls_certificate);
    registry_cli
        ->add_option(
            "--tls-client-ca",
            registry.tls_client_ca,
            "PEM file of the authority that must have signed a client's certificate"
        )
        ->needs(tls_certificate);
    registry_cli->add_option("--log-level", registry.log_level, "debug, info, warn, error or off")
        ->capture_default_str()
        ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
    registry_cli->add_option(
        "--node", registry.node, "Name of this node in the catalog (default: this machine's)"
    );
    registry_cli->callback([&, registry_cli] {
        if (registry_cli->get_subcommands().empty()) code = run_registry(registry);
    });

    SnapshotCommand snapshot;
    snapshot.access.timeout_ms = 60'000;
    auto* snapshot_cli = registry_cli->add_subcommand(
        "snapshot", "Back up a running registry, restore a backup, or look into one"
    );
    snapshot_cli->require_subcommand(1);
    const auto add_snapshot =
        [&](const char* name, const char* text, int (*run)(const SnapshotCommand&)) {
            auto* cli = snapshot_cli->add_subcommand(name, text);
            cli->add_option("file", snapshot.file, "The backup")->required();
            if (run == run_snapshot_inspect) {
                add_output(*cli, snapshot.access.output);
            } else {
                add_access(*cli, snapshot.access);
            }
            cli->callback([&code, &snapshot, run] { code = run(snapshot); });
        };
    add_snapshot("save", "Write the registry's whole state to a file", run_snapshot_save);
    add_snapshot(
        "restore",
        "Put the registry's whole state back as the file has it; watchers are told, the index "
        "rises",
        run_snapshot_restore
    );
    add_snapshot("inspect", "Check a file and say what it holds", run_snapshot_inspect);

    CaCommand authority;
    CaCommand issue;
    authority.life = "8760h";
    issue.life = "24h";
    auto* ca_cli = app.add_subcommand(
        "ca", "A certificate authority for development: certificates for listeners and services"
    );
    ca_cli->require_subcommand(1);
    auto* init_cli = ca_cli->add_subcommand("init", "Make the authority; what is there stays");
    init_cli->add_option("--dir", authority.dir, "Directory of ca.pem and ca.key")
        ->capture_default_str();
    init_cli
        ->add_option(
            "--trust-domain",
            authority.trust_domain,
            "Whom it vouches for: spiffe://TRUST-DOMAIN/..., and nobody else"
        )
        ->capture_default_str();
    init_cli->add_option("--life", authority.life, "How long it is good")->capture_default_str();
    init_cli->callback([&] { code = run_ca_init(authority); });
    auto* issue_cli = ca_cli->add_subcommand(
        "issue", "Sign a certificate with a fresh key; again = a newer one in the same files"
    );
    issue_cli
        ->add_option("name", issue.name, "Workload: web, or prod/web for spiffe://.../prod/web")
        ->required();
    issue_cli->add_option("--dir", issue.dir, "Directory of the authority")->capture_default_str();
    issue_cli->add_option("--dns", issue.dns_names, "Also for this host name; may be repeated");
    issue_cli->add_option("--ip", issue.addresses, "Also for this address; may be repeated");
    issue_cli->add_option("--life", issue.life, "How long it is good; at most as the authority")
        ->capture_default_str();
    issue_cli->add_option(
        "--out", issue.out, "Files to write, without .pem and .key (default: DIR/NAME)"
    );
    issue_cli->callback([&] { code = run_ca_issue(issue); });

    ValidateCommand validate;
    auto* validate_cli = app.add_subcommand(
        "validate", "Check a configuration; every problem with its line, exit 1 if there is one"
    );
    validate_cli
        ->add_option("config", validate.config, "Files, directories, or - for standard input")
        ->required();
    validate_cli->callback([&] { code = run_validate(validate); });

    auto* config_cli = app.add_subcommand("config", "About the configuration");
    config_cli->require_subcommand(1);
    config_cli->add_subcommand("schema", "Print the JSON schema of the configuration")
        ->callback([&] { code = run_schema(); });

    ReloadCommand reload;
    auto* reload_cli = app.add_subcommand(
        "reload", "Have an agent read its configuration anew: all of it, or nothing"
    );
    reload_cli->add_flag("--dry-run", reload.dry_run, "Only say what would change");
    add_agent(*reload_cli, reload.access);
    reload_cli->callback([&] { code = run_reload(reload); });

    ReloadCommand diff{.dry_run = true};
    auto* diff_cli = config_cli->add_subcommand(
        "diff", "What an agent's files say otherwise than what is in force there"
    );
    add_agent(*diff_cli, diff.access);
    diff_cli->callback([&] { code = run_reload(diff); });

    ExplainCommand explain;
    auto* explain_cli = app.add_subcommand(
        "explain", "Why a request went where it went: its route, attempts and who was left out"
    );
    explain_cli->add_option("what", explain.what, "The request's x-request-id or trace id")
        ->required();
    explain_cli->add_flag(
        "--service", explain.is_service, "It is a service: the last decisions about its calls"
    );
    add_agent(*explain_cli, explain.access);
    explain_cli->callback([&] { code = run_explain(explain); });

    RegistryAccess services;
    auto* services_cli =
        app.add_subcommand("services", "List the services that the registry knows");
    add_access(*services_cli, services);
    services_cli->callback([&] { code = run_services(services); });

    EndpointsCommand endpoints;
    auto* endpoints_cli =
        app.add_subcommand("endpoints", "List the endpoints of a service, with their health");
    endpoints_cli->add_option("name", endpoints.name, "Service")->required();
    add_filter(*endpoints_cli, endpoints);
    add_access(*endpoints_cli, endpoints.access);
    endpoints_cli->callback([&] { code = run_endpoints(endpoints); });

    EndpointsCommand watch;
    auto* watch_cli = app.add_subcommand(
        "watch", "Print every change of a service's endpoints until interrupted"
    );
    watch_cli->add_option("name", watch.name, "Service")->required();
    add_filter(*watch_cli, watch);
    add_access(*watch_cli, watch.access);
    watch_cli->callback([&] { code = run_watch(watch); });

    RegisterCommand reg;
    auto* register_cli = app.add_subcommand("register", "Announce a service endpoint");
    register_cli->add_option("name", reg.name, "Service")->required();
    register_cli->add_option("--host", reg.host, "Where callers reach it")->required();
    register_cli->add_option("--port", reg.port, "Port")->required()->check(CLI::Range(1, 65535));
    register_cli->add_option(
        "--id", reg.id, "Id (default: name-host-port); the same id again replaces"
    );
    register_cli->add_option("--weight", reg.weight, "Relative share of traffic")
        ->capture_default_str();
    register_cli->add_option("--tag", reg.tags, "Tag; may be repeated");
    register_cli->add_option("--meta", reg.meta, "Metadata key=value; may be repeated");
    register_cli->add_option("--version", reg.version, "Version of what runs there");
    register_cli->add_option("--environment", reg.environment, "Environment");
    register_cli->add_option("--region", reg.region, "Region");
    register_cli->add_option("--zone", reg.zone, "Zone");
    register_cli->add_option("--capability", reg.capabilities, "Capability; may be repeated");
    register_cli->add_option("--dependency", reg.dependencies, "Service it calls; may be repeated");
    register_cli
        ->add_option("--check", reg.check, "Health check: http, tcp, udp, grpc, ttl or none")
        ->capture_default_str()
        ->check(CLI::IsMember({"http", "tcp", "udp", "grpc", "ttl", "none"}));
    register_cli->add_option("--check-path", reg.check_path, "Path of an http check")
        ->capture_default_str();
    register_cli->add_option(
        "--check-target", reg.check_target, "host:port to check (default: the endpoint's own)"
    );
    register_cli->add_option(
        "--check-grpc-service",
        reg.check_grpc_service,
        "Service that a grpc check asks about (default: the server as a whole)"
    );
    register_cli->add_flag("--check-tls", reg.check_tls, "An http or grpc check speaks TLS");
    register_cli
        ->add_option(
            "--check-interval", reg.check_interval, "Time between checks; of a ttl check: the ttl"
        )
        ->capture_default_str();
    register_cli->add_option("--check-timeout", reg.check_timeout, "Longest one check may take")
        ->capture_default_str();
    add_access(*register_cli, reg.access);
    register_cli->callback([&] { code = run_register(reg); });

    DeregisterCommand dereg;
    auto* deregister_cli = app.add_subcommand("deregister", "Withdraw a service endpoint");
    deregister_cli->add_option("id", dereg.id, "Id of the endpoint")->required();
    add_access(*deregister_cli, dereg.access);
    deregister_cli->callback([&] { code = run_deregister(dereg); });

    Output version_output = Output::table;
    auto* version_cli = app.add_subcommand("version", "Print version, revision and compiler");
    add_output(*version_cli, version_output);
    version_cli->callback([&] { code = run_version(version_output); });

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        // Before any subcommand, a word that is none is reported as a missing one only.
        if (const auto words = app.remaining(); !words.empty() && app.get_subcommands().empty())
            fmt::print(stderr, "dpmesh: \"{}\" is no subcommand\n", words.front());
        const int shown = app.exit(error);
        return shown == 0 ? exit_ok : exit_usage;
    }
    return code;
}
