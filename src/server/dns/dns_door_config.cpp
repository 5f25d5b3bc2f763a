#include "server/dns/dns_door_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/strings.h"
#include "wire/dns/name.h"

namespace datapunk::mesh::server::dns {

namespace {

bool is_label(std::string_view label) {
    return !label.empty() && label.size() <= wire::dns::kLabelBytesMax &&
           std::all_of(label.begin(), label.end(), [](char c) {
               const char low = core::to_lower(c);
               return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
           });
}

// A node's name and "node.dc1" must find room before it.
constexpr std::size_t kDomainBytesMax = 100;

bool is_domain(std::string_view domain) {
    if (domain.ends_with('.')) domain.remove_suffix(1);
    const auto labels = core::split(domain, '.');
    return !domain.empty() && domain.size() <= kDomainBytesMax &&
           std::all_of(labels.begin(), labels.end(), is_label);
}

}  // namespace

Result<> check(const DnsDoorConfig& config) {
    using namespace std::chrono_literals;
    std::string problems;
    const auto need = [&](bool ok, std::string_view what) {
        if (!ok) problems += fmt::format("{}{}", problems.empty() ? "" : "; ", what);
    };
    need(is_domain(config.domain), "domain must be a domain name of at most 100 bytes");
    need(is_label(config.datacenter), "datacenter must be one label");
    need(config.ttl >= 0s && config.ttl <= 24h, "ttl must be 0s..24h");
    need(
        config.udp_answer_limit >= 1 && config.udp_answer_limit <= 1000,
        "udp_answer_limit must be 1..1000"
    );
    need(
        config.udp_bytes_max >= 512 && config.udp_bytes_max <= 65'000,
        "udp_bytes_max must be 512..65000"
    );
    need(
        config.responses_per_second_max >= 1 && config.responses_per_second_max <= 1'000'000,
        "responses_per_second_max must be 1..1000000"
    );
    need(
        config.tcp_connections_max >= 1 && config.tcp_connections_max <= 100'000,
        "tcp_connections_max must be 1..100000"
    );
    need(
        config.tcp_idle_timeout > 0s && config.tcp_write_timeout > 0s, "timeouts must be positive"
    );
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "registry DNS: " + problems};
}

}  // namespace datapunk::mesh::server::dns
