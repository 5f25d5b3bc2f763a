#pragma once

// Which registry a mesh uses: RegistryChoice, one of the structs here. Values. docs/registration.md
// says what each can do.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registry.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace datapunk::mesh {

// How a registry is spoken to over TLS. Certificates and keys are PEM text or the path of a file.
struct RegistryTls {
    bool enabled = false;
    bool verify = true;         // false: whoever answers is believed; for debugging
    std::string server_name{};  // what the certificate must be for; empty = the host
    std::string ca{};           // or a directory of PEM files; empty = the system's roots
    std::string certificate{};  // ours, for a registry that asks for one; needs private_key
    std::string private_key{};

    friend bool operator==(const RegistryTls&, const RegistryTls&) = default;
};

// A Consul agent, or `dpmesh registry`, which speaks the same API.
struct Consul {
    std::string host = "127.0.0.1";
    std::uint16_t port = 8500;
    RegistryTls tls{};
    std::string token{};       // X-Consul-Token; never logged
    std::string token_file{};  // holds the token instead; read again while running
    std::string datacenter{};  // empty = the agent's own
    bool stale = true;         // any server may answer, not only the leader
    std::string filter{};      // of instances, in Consul's filter language; empty = all
    std::string near{};        // sort by distance from this node; "_agent" = the agent's
    // Not empty: registrations go into the catalog, as this node's, and the mesh renews them. For
    // processes without an agent beside them; must not be an agent's name.
    std::string catalog_node{};
    std::string catalog_address{};  // of that node
    // What CONSUL_HTTP_ADDR and the other variables of Consul's client say counts instead.
    bool use_environment = false;
    // Longest blocking query, 1 s .. 10 min. Middleboxes may cut idle connections sooner.
    Duration wait_max = std::chrono::minutes(10);
};

// A registry inside this process: for tests, and for programs that are alone. Nobody else sees it.
struct Embedded {
    std::string data_dir{};  // durable there; empty = in memory
};

// etcd v3. Registrations hang on a lease: they end soon after the process that made them.
struct Etcd {
    std::vector<std::string> endpoints{"127.0.0.1:2379"};  // of one cluster, host:port, at most 16
    RegistryTls tls{};
    std::string user{};  // empty: no authentication
    std::string password{};
    std::string prefix = "/dpmesh";                 // of all keys
    Duration lease_ttl = std::chrono::seconds(15);  // 5 s .. 1 h, whole seconds
};

// ZooKeeper, if the library was built with it (otherwise starting says so). Registrations end with
// the process's session.
struct Zookeeper {
    std::vector<std::string> servers{"127.0.0.1:2181"};  // of one ensemble, host:port, at most 16
    std::string user{};                                  // digest; empty: no authentication
    std::string password{};
    std::string prefix = "/dpmesh";                       // of all nodes
    Duration session_timeout = std::chrono::seconds(10);  // 1 s .. 10 min, within the server's own
};

// DNS servers that know the services. Read-only.
struct Dns {
    enum class Records : std::uint8_t {
        srv,      // SRV with priority, weight and port; addresses from A and AAAA
        address,  // A and AAAA; `port` says where
        dns_sd,   // PTR to instances, each with SRV and TXT (RFC 6763)
    };

    std::vector<std::string> servers{"127.0.0.1:53"};  // "ip" or "ip:port", at most 8
    std::string name = "{service}.service.consul";     // {service} stands for the service
    Records records = Records::srv;
    std::uint16_t port = 0;                      // for Records::address
    Duration ttl_min = std::chrono::seconds(2);  // a record's time to live is taken within these
    Duration ttl_max = std::chrono::minutes(5);
    std::string notify_address{};   // listens there for NOTIFY (RFC 1996); empty = not at all
    std::uint16_t notify_port = 0;  // 0 = any free one
    std::vector<std::string> notify_from{};  // who may send it, besides the servers
    std::string notify_key_name{};           // a TSIG key: only signed ones count then
    std::string notify_key_secret{};         // base64
};

// Services written down in a YAML or JSON file, or a directory of them; followed as they change.
// Read-only.
struct File {
    std::string path{};
    Duration poll = std::chrono::seconds(10);  // looked at also without a change being told
};

// No registry: these endpoints, always. Registering is refused.
struct Fixed {
    std::map<std::string, std::vector<ServiceEndpoint>> services{};
};

// Several registries at once. Custom, a registry of your own: registry.h.
struct Merged {
    enum class Mode : std::uint8_t {
        priority,  // the first that knows endpoints of a service
        all,       // everybody's together; the same id, or the same address, once
    };
    enum class HealthRule : std::uint8_t { worst, first };  // of an endpoint that two know

    struct Member {
        std::string name{};  // unique
        std::variant<Consul, Fixed, Custom, Etcd, Dns, File, Zookeeper> registry{};
    };

    std::vector<Member> members{};  // two at least, the most important first
    Mode mode = Mode::priority;
    HealthRule health = HealthRule::worst;
    // With Mode::priority: how long one that fails is believed before the next one steps in.
    Duration failover_after = std::chrono::seconds(30);
    std::string register_with{};  // a member's name; empty = the first that can register
};

using RegistryChoice =
    std::variant<Consul, Embedded, Fixed, Custom, Etcd, Dns, File, Zookeeper, Merged>;

}  // namespace datapunk::mesh
