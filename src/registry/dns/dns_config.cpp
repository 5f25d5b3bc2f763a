#include "registry/dns/dns_config.h"

#include <fmt/format.h>

#include "core/strings.h"
#include "io/address.h"
#include "wire/dns/name.h"

namespace datapunk::mesh::registry::dns {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view kPlace = "{service}";
constexpr std::size_t kServersMax = 8;
constexpr std::size_t kNotifiersMax = 64;
constexpr std::size_t kSecretBytesMin = 16;

class Problems {
  public:
    void need(bool good, std::string text) {
        if (good) return;
        if (!text_.empty()) text_ += "; ";
        text_ += text;
    }

    Result<> result() const {
        if (text_.empty()) return Ok{};
        return Error{.code = Code::invalid, .what = "DNS: " + text_};
    }

  private:
    std::string text_;
};

void check_notify(const DnsNotifyConfig& notify, Problems& problems) {
    if (notify.address.empty()) {
        problems.need(
            notify.key_name.empty() && notify.key_secret.empty(),
            "notify.key is set, but notify.address is not"
        );
        return;
    }
    problems.need(
        io::parse_ip(notify.address, 0).ok(),
        fmt::format("notify.address \"{:.80}\" is not an IP address", notify.address)
    );
    problems.need(notify.from.size() <= kNotifiersMax, "notify.from: at most 64 addresses");
    for (const std::string& from : notify.from) {
        problems.need(
            io::parse_ip(from, 0).ok(),
            fmt::format("notify.from \"{:.80}\" is not an IP address", from)
        );
    }
    problems.need(
        notify.per_second_max > 0 && notify.per_second_max <= 1000,
        "notify.per_second_max must be above 0, at most 1000"
    );
    problems.need(
        notify.key_name.empty() == notify.key_secret.empty(),
        "notify.key_name and notify.key_secret go together"
    );
    if (notify.key_name.empty()) return;
    problems.need(
        wire::dns::DnsName::parse(notify.key_name).ok(), "notify.key_name is not a domain name"
    );
    const auto secret = core::base64_decode(notify.key_secret);
    problems.need(
        secret && secret->size() >= kSecretBytesMin,
        "notify.key_secret must be base64 of at least 16 bytes"
    );
}

bool has_place_once(const std::string& name) {
    const std::size_t at = name.find(kPlace);
    return at != std::string::npos && name.find(kPlace, at + 1) == std::string::npos;
}

}  // namespace

Result<> check(const DnsConfig& config) {
    Problems problems;
    problems.need(
        !config.servers.empty() && config.servers.size() <= kServersMax, "servers: 1 to 8 addresses"
    );
    for (const std::string& server : config.servers) {
        const auto whole = io::parse_address(server);
        problems.need(
            io::parse_ip(server, 53).ok() || (whole.ok() && whole->port != 0),
            fmt::format("server \"{:.80}\" is not \"ip\", \"ip:port\" or \"[ipv6]:port\"", server)
        );
    }
    problems.need(
        has_place_once(config.name),
        fmt::format("name \"{:.80}\" must hold {{service}} once", config.name)
    );
    if (has_place_once(config.name)) {
        const auto name = name_of(config, "x");
        problems.need(name.ok(), name.ok() ? "" : "name: " + name.error().what);
    }
    problems.need(
        config.records != DnsRecords::address || config.port != 0,
        "port must be given with records: address"
    );
    problems.need(config.ttl_min >= 100ms && config.ttl_min <= 24h, "ttl_min must be 100ms..24h");
    problems.need(
        config.ttl_max >= config.ttl_min && config.ttl_max <= 24h, "ttl_max must be ttl_min..24h"
    );
    problems.need(
        config.negative_ttl_max >= 100ms && config.negative_ttl_max <= 24h,
        "negative_ttl_max must be 100ms..24h"
    );
    problems.need(
        config.attempt_timeout >= 10ms && config.attempt_timeout <= 1min,
        "attempt_timeout must be 10ms..1m"
    );
    problems.need(config.rounds >= 1 && config.rounds <= 10, "rounds must be 1..10");
    problems.need(
        config.udp_bytes_max >= 512 && config.udp_bytes_max <= 4096,
        "udp_bytes_max must be 512..4096"
    );
    problems.need(
        config.endpoints_max >= 1 && config.endpoints_max <= 100'000,
        "endpoints_max must be 1..100000"
    );
    check_notify(config.notify, problems);
    return problems.result();
}

Result<std::string> name_of(const DnsConfig& config, const std::string& service) {
    std::string text = config.name;
    text.replace(text.find(kPlace), kPlace.size(), service);
    const auto name = wire::dns::DnsName::parse(text);
    if (!name) return name.error();
    return name->text();
}

}  // namespace datapunk::mesh::registry::dns
