// The public values' own functions: names, addresses and checks (include/datapunk/mesh/).

#include <datapunk/mesh/balancing.h>
#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/outcome.h>
#include <datapunk/mesh/registration.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/health_check.h"
#include "core/metadata.h"
#include "core/problems.h"

namespace datapunk::mesh {

using core::Problems;

namespace {

constexpr std::size_t kNameBytesMax = 63;  // RFC 1123 label
constexpr std::size_t kMetaPairsMax = 64;  // Consul's limits
constexpr std::size_t kMetaKeyBytesMax = 128;
constexpr std::size_t kMetaValueBytesMax = 512;
constexpr std::size_t kTagsMax = 64;
constexpr std::size_t kTagBytesMax = 255;
constexpr std::size_t kIdBytesMax = 255;
constexpr std::uint32_t kWeightMax = 65535;

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

std::string shown(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte < 0x7f ? fmt::format("'{}'", c) : fmt::format("byte 0x{:02x}", byte);
}

bool is_meta_key(std::string_view key) {
    return !key.empty() && key.size() <= kMetaKeyBytesMax &&
           std::all_of(key.begin(), key.end(), [](char c) {
               return is_alphanumeric(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
           });
}

bool is_host(std::string_view host) {
    return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
        return is_alphanumeric(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_' ||
               c == ':';
    });
}

}  // namespace

std::string_view to_string(Health health) noexcept {
    switch (health) {
        case Health::passing:
            return "passing";
        case Health::warning:
            return "warning";
        case Health::critical:
            return "critical";
    }
    return "unknown";
}

std::string_view to_string(Origin origin) noexcept {
    switch (origin) {
        case Origin::registry:
            return "registry";
        case Origin::cache:
            return "cache";
        case Origin::shared_cache:
            return "shared cache";
        case Origin::snapshot:
            return "snapshot";
        case Origin::fixed:
            return "fixed";
    }
    return "unknown";
}

std::string_view to_string(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::success:
            return "success";
        case Outcome::server_error:
            return "server error";
        case Outcome::connect_failure:
            return "connect failure";
        case Outcome::refused_stream:
            return "refused stream";
        case Outcome::timeout:
            return "timeout";
        case Outcome::reset:
            return "reset";
        case Outcome::cancelled:
            return "cancelled";
    }
    return "unknown";
}

std::string ServiceEndpoint::address() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

const ServiceEndpoint* EndpointSet::find(std::string_view id) const noexcept {
    const auto at = std::lower_bound(
        endpoints.begin(),
        endpoints.end(),
        id,
        [](const ServiceEndpoint& e, std::string_view i) { return e.id < i; }
    );
    return at != endpoints.end() && at->id == id ? &*at : nullptr;
}

Result<> check_service_name(std::string_view name) {
    const auto bad = [&](std::string why) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format(
                "service name \"{}\": {} (lowercase letters, digits, '-' and '_' inside, at most "
                "63)",
                name.substr(0, 80),
                why
            )
        };
    };
    if (name.empty()) return bad("it is empty");
    if (name.size() > kNameBytesMax) return bad(fmt::format("{} bytes are too many", name.size()));
    for (std::size_t i = 0; i < name.size(); ++i) {
        const char c = name[i];
        const bool edge = i == 0 || i + 1 == name.size();
        if (is_alphanumeric(c) || (!edge && (c == '_' || c == '-'))) continue;
        if (edge && (c == '_' || c == '-')) {
            return bad(fmt::format("{} may not stand at the {}", shown(c), i == 0 ? "start" : "end")
            );
        }
        return bad(fmt::format("{} at position {} is not allowed", shown(c), i + 1));
    }
    return Ok{};
}

Result<ServiceConfig> checked(ServiceConfig config) {
    Problems problems;
    if (const auto name = check_service_name(config.name); !name) {
        problems.need(false, "{}", name.error().what);
    }
    problems.need(
        is_host(config.host),
        "host \"{}\" is not an address or host name",
        config.host.substr(0, 80)
    );
    problems.need(config.port != 0, "port must be 1..65535");
    problems.need(
        config.weight >= 1 && config.weight <= kWeightMax,
        "weight must be 1..65535, is {}",
        config.weight
    );
    problems.need(
        config.tags.size() <= kTagsMax, "{} tags, at most {}", config.tags.size(), kTagsMax
    );
    for (const std::string& tag : config.tags) {
        problems.need(
            !tag.empty() && tag.size() <= kTagBytesMax && !core::has_control(tag),
            "bad tag \"{}\"",
            tag.substr(0, 80)
        );
    }
    for (const std::string& problem : core::settle_metadata(config)) {
        problems.need(false, "{}", problem);
    }
    problems.need(
        config.meta.size() <= kMetaPairsMax,
        "{} metadata pairs, at most {}",
        config.meta.size(),
        kMetaPairsMax
    );
    for (const auto& [key, value] : config.meta) {
        problems.need(
            is_meta_key(key),
            "metadata key \"{}\" must be 1..128 of [A-Za-z0-9_-]",
            key.substr(0, 80)
        );
        problems.need(
            value.size() <= kMetaValueBytesMax && !core::has_control(value),
            "metadata value of \"{}\" must be at most 512 bytes of printable text",
            key.substr(0, 80)
        );
    }
    const Readiness& ready = config.ready;
    problems.need(
        ready.timeout >= std::chrono::milliseconds(10) && ready.timeout <= std::chrono::hours(1),
        "ready.timeout must be 10ms..1h"
    );
    using Kind = HealthCheck::Kind;
    const bool has_probe = config.check.kind != Kind::none && config.check.kind != Kind::ttl &&
                           config.check.kind != Kind::alias;
    problems.need(
        !ready.check_passes || has_probe,
        "ready.check_passes needs a check that can be run: not none, ttl or alias"
    );
    const std::string check_problems = core::problems_of(config.check);
    problems.need(check_problems.empty(), "{}", check_problems);
    if (config.id.empty())
        config.id = fmt::format("{}-{}-{}", config.name, config.host, config.port);
    problems.need(
        config.id.size() <= kIdBytesMax && !core::has_control(config.id) &&
            config.id.find('/') == std::string::npos,
        "id \"{}\" must be at most 255 printable bytes without '/'",
        config.id.substr(0, 80)
    );
    if (auto verdict = problems.result("service configuration"); !verdict) return verdict.error();
    return config;
}

CustomBalancer::~CustomBalancer() = default;

}  // namespace datapunk::mesh
