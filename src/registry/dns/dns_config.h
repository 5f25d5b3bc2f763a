#pragma once

// DnsConfig: which DNS servers know the services, and under which names. A value; reads nothing.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <vector>

namespace datapunk::mesh::registry::dns {

enum class DnsRecords : std::uint8_t {
    srv,      // SRV with priority, weight and port; the targets' addresses from A and AAAA
    address,  // A and AAAA; the port is configured
    dns_sd,   // PTR to instances, each with SRV and TXT (RFC 6763)
};

enum class DnsFamily : std::uint8_t {
    ipv4_first,  // AAAA only where there is no A
    ipv6_first,  // A only where there is no AAAA
    both,        // an endpoint for each address
};

// NOTIFY (RFC 1996): the zone's primary says that something changed, and we ask at once.
struct DnsNotifyConfig {
    std::string address;     // where to listen, e.g. "0.0.0.0"; empty = not at all
    std::uint16_t port = 0;  // 0 = any free one; primaries send to 53 unless told otherwise
    // Who may send it, besides the servers: IP addresses.
    std::vector<std::string> from;
    // A TSIG key (RFC 8945, hmac-sha256 only). With one, only signed notifications count.
    std::string key_name;
    std::string key_secret;      // base64, as in named.conf; at least 16 bytes decoded
    double per_second_max = 10;  // (0, 1000]: more are answered, but not acted on

    friend bool operator==(const DnsNotifyConfig&, const DnsNotifyConfig&) = default;
};

struct DnsConfig {
    // "ip" or "ip:port", at most 8; the first that answers is used until it fails.
    std::vector<std::string> servers = {"127.0.0.1:53"};
    // The name asked for; {service} stands for the service, once. For dns_sd the name to browse:
    // "_{service}._tcp.example.org".
    std::string name = "{service}.service.consul";
    DnsRecords records = DnsRecords::srv;
    DnsFamily family = DnsFamily::ipv4_first;
    std::uint16_t port = 0;  // of every endpoint, for `address`
    // A record's time to live is taken within these: a TTL of 0 would mean to ask all the time, one
    // of a day not to notice a change. 100 ms .. 1 day.
    Duration ttl_min = std::chrono::seconds(2);
    Duration ttl_max = std::chrono::minutes(5);
    // "There is none" is believed for at most so long, whatever the zone says.
    Duration negative_ttl_max = std::chrono::seconds(30);
    Duration attempt_timeout = std::chrono::seconds(2);  // for one server, 10 ms .. 1 min
    std::uint32_t rounds = 2;                            // through all servers, 1..10
    // What we can take by UDP (EDNS0), 512..4096; longer answers come by TCP. 1232 is never
    // fragmented.
    std::uint16_t udp_bytes_max = 1232;
    // Asks with random upper and lower case and wants it back: 1 bit more to guess per letter for
    // who forges answers. Off for servers that do not return the question as it was.
    bool mix_case = true;
    std::uint32_t endpoints_max = 10'000;  // of one service; more are an error
    DnsNotifyConfig notify;

    friend bool operator==(const DnsConfig&, const DnsConfig&) = default;
};

// Every field usable? The error names all that are not.
Result<> check(const DnsConfig& config);

// "web" -> "web.service.consul.". An error if the service's name does not fit.
Result<std::string> name_of(const DnsConfig& config, const std::string& service);

}  // namespace datapunk::mesh::registry::dns
