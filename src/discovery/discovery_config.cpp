#include <datapunk/mesh/discovery.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "core/strings.h"

namespace datapunk::mesh {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Problems {
  public:
    void need_between(std::string_view field, Duration value, Duration least, Duration most) {
        if (value >= least && value <= most) return;
        add(fmt::format(
            "{} must be {} .. {}, is {}",
            field,
            core::format_duration(least),
            core::format_duration(most),
            core::format_duration(value)
        ));
    }

    void need(bool good, std::string_view what) {
        if (!good) add(std::string(what));
    }

    const std::string& text() const noexcept { return text_; }

  private:
    void add(const std::string& what) {
        if (!text_.empty()) text_ += "; ";
        text_ += what;
    }

    std::string text_;
};

void check_shared(const SharedCacheConfig& config, Problems& problems) {
    if (config.host.empty()) return;
    problems.need(config.host.size() <= 253, "shared_cache.host must have at most 253 bytes");
    problems.need(config.port != 0, "shared_cache.port must be 1 .. 65535");
    problems.need(config.database <= 1023, "shared_cache.database must be 0 .. 1023");
    problems.need(
        config.username.empty() || !config.password.empty(),
        "shared_cache.username needs shared_cache.password"
    );
    const bool has_tls_fields = !config.tls_ca.empty() || !config.tls_certificate.empty() ||
                                !config.tls_private_key.empty() || !config.tls_server_name.empty();
    problems.need(
        config.tls || !has_tls_fields,
        "shared_cache.tls_ca, tls_certificate, tls_private_key and tls_server_name need "
        "shared_cache.tls"
    );
    problems.need(
        config.tls_certificate.empty() == config.tls_private_key.empty(),
        "shared_cache.tls_certificate and shared_cache.tls_private_key need each other"
    );
    const bool is_printable = std::all_of(config.prefix.begin(), config.prefix.end(), [](char c) {
        return c > ' ' && c <= '~';
    });
    problems.need(
        is_printable && !config.prefix.empty() && config.prefix.size() <= 64,
        "shared_cache.prefix must have 1 to 64 printable bytes"
    );
    problems.need_between("shared_cache.timeout", config.timeout, milliseconds(5), seconds(5));
    problems.need_between("shared_cache.keep", config.keep, minutes(1), hours(7 * 24));
}

}  // namespace

Result<> check(const ServiceDiscoveryConfig& config) {
    Problems problems;
    problems.need_between("cache_ttl", config.cache_ttl, seconds(1), minutes(10));
    problems.need_between("negative_ttl", config.negative_ttl, Duration::zero(), minutes(1));
    problems.need_between("query_timeout", config.query_timeout, milliseconds(100), minutes(1));
    problems.need_between("linger", config.linger, Duration::zero(), hours(1));
    problems.need_between("idle_ttl", config.idle_ttl, minutes(1), hours(24));
    problems.need_between("removal_grace", config.removal_grace, Duration::zero(), minutes(10));
    problems.need_between("reset_grace", config.reset_grace, Duration::zero(), minutes(10));
    problems.need_between("reconnect.base", config.reconnect.base, milliseconds(1), minutes(10));
    problems.need_between(
        "reconnect.max", config.reconnect.max, config.reconnect.base, minutes(10)
    );
    problems.need(
        config.removal_share_max >= 0 && config.removal_share_max <= 1,
        "removal_share_max must be 0 .. 1"
    );
    problems.need(
        config.queries_per_second >= 0.1 && config.queries_per_second <= 1000,
        "queries_per_second must be 0.1 .. 1000"
    );
    problems.need(
        config.services_max >= 1 && config.services_max <= 1'000'000,
        "services_max must be 1 .. 1000000"
    );
    problems.need_between("fallback_after", config.fallback_after, milliseconds(10), minutes(1));
    problems.need_between("snapshot_delay", config.snapshot_delay, milliseconds(10), minutes(1));
    problems.need_between("snapshot_max_age", config.snapshot_max_age, minutes(1), hours(30 * 24));
    check_shared(config.shared_cache, problems);
    const auto breaker = check(ServicePolicy{.breaker = config.registry_breaker});
    problems.need(
        breaker.ok(), breaker.ok() ? std::string() : "registry_breaker: " + breaker.error().what
    );
    if (problems.text().empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "discovery: " + problems.text()};
}

}  // namespace datapunk::mesh
