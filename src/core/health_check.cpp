#include "core/health_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/problems.h"
#include "core/strings.h"

namespace datapunk::mesh::core {

namespace {

using Kind = HealthCheck::Kind;

constexpr std::size_t kHeadersMax = 64;
constexpr std::size_t kHeaderBytesMax = 4096;
constexpr std::size_t kBodyBytesMax = 64UL * 1024;
constexpr std::size_t kTalkBytesMax = 4096;
constexpr std::size_t kArgumentsMax = 256;
constexpr std::size_t kArgumentBytesMax = 4096;
constexpr std::uint32_t kRedirectsMax = 20;
constexpr double kJitterMax = 0.5;

bool has_nul(std::string_view text) {
    return text.find('\0') != std::string_view::npos;
}

// "host:port", an IPv6 address in brackets.
bool is_host_and_port(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0 || colon > 255) return false;
    const std::string_view host = text.substr(0, colon);
    const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (host.find_first_of("/ ") != std::string_view::npos || has_control(host)) return false;
    if (!is_bracketed && host.find_first_of(":[]") != std::string_view::npos) return false;
    return parse_number<std::uint16_t>(text.substr(colon + 1)).value_or(0) != 0;
}

void target_problems(const HealthCheck& check, Problems& problems) {
    problems.need(
        check.target.empty() || is_host_and_port(check.target),
        "check.target must be host:port, is \"{}\"",
        check.target.substr(0, 200)
    );
}

void http_problems(const HealthCheck& check, Problems& problems) {
    problems.need(
        !check.path.empty() && check.path.front() == '/' && !has_control(check.path) &&
            check.path.find(' ') == std::string::npos,
        "check.path must start with '/' and have no blanks, is \"{}\"",
        check.path.substr(0, 200)
    );
    problems.need(is_token(check.method), "check.method must be an HTTP method");
    problems.need(check.headers.size() <= kHeadersMax, "check.headers: at most {}", kHeadersMax);
    constexpr std::array<std::string_view, 5> kOurs = {
        "host", "connection", "content-length", "transfer-encoding", "upgrade"
    };
    for (const auto& [name, value] : check.headers) {
        const bool is_ours = std::find(kOurs.begin(), kOurs.end(), lowercase(name)) != kOurs.end();
        // The value may be a secret and is not shown.
        problems.need(
            is_token(name) && name.size() <= kHeaderBytesMax && !is_ours && !has_control(value) &&
                value.size() <= kHeaderBytesMax,
            "check.headers: \"{}\" is not for you to set, or is no HTTP field",
            name.substr(0, 80)
        );
    }
    problems.need(
        check.body.size() <= kBodyBytesMax, "check.body: at most {} bytes", kBodyBytesMax
    );
    problems.need(
        check.host.size() <= 255 && !has_control(check.host) &&
            check.host.find(' ') == std::string::npos,
        "check.host must be a host name"
    );
    for (const std::string& range : check.expected_status) {
        problems.need(
            parse_status_range(range).has_value(),
            "check.expected_status must be like 200 or 200-299, is \"{}\"",
            range.substr(0, 80)
        );
    }
    problems.need(check.expected_status.size() <= 64, "check.expected_status: at most 64");
    problems.need(
        check.expected_body.size() <= kTalkBytesMax,
        "check.expected_body: at most {} bytes",
        kTalkBytesMax
    );
    problems.need(
        check.redirects_max <= kRedirectsMax, "check.redirects_max: at most {}", kRedirectsMax
    );
}

bool is_talk(const HealthCheck& check) noexcept {
    return check.kind == Kind::tcp || check.kind == Kind::udp;
}

void talk_problems(const HealthCheck& check, Problems& problems) {
    problems.need(
        check.send.size() <= kTalkBytesMax && check.expect.size() <= kTalkBytesMax,
        "check.send and check.expect: at most {} bytes each",
        kTalkBytesMax
    );
}

void exec_problems(const HealthCheck& check, Problems& problems) {
    problems.need(
        !check.command.empty() && !check.command.front().empty(),
        "check.command must name a program"
    );
    problems.need(
        check.command.size() <= kArgumentsMax &&
            std::none_of(
                check.command.begin(),
                check.command.end(),
                [](const std::string& a) { return a.size() > kArgumentBytesMax || has_nul(a); }
            ),
        "check.command: at most {} arguments of {} bytes, none with a zero byte",
        kArgumentsMax,
        kArgumentBytesMax
    );
}

void tls_problems(const HealthCheck& check, Problems& problems) {
    const CheckTls& tls = check.tls;
    problems.need(
        tls.certificate.empty() == tls.private_key.empty(),
        "check.tls.certificate and check.tls.private_key go together"
    );
    problems.need(
        !has_control(tls.server_name) && tls.server_name.size() <= 255,
        "check.tls.server_name must be a host name"
    );
    problems.need(
        tls.enabled || tls == CheckTls{}, "check.tls needs check.tls.enabled: it says more"
    );
}

void schedule_problems(const HealthCheck& check, Problems& problems) {
    problems.need(
        check.interval >= std::chrono::seconds(1) && check.interval <= std::chrono::hours(1),
        "check.interval must be 1s..1h"
    );
    problems.need(
        check.timeout > Duration::zero() && check.timeout <= std::chrono::minutes(10),
        "check.timeout must be positive and at most 10m"
    );
    problems.need(
        check.jitter >= 0 && check.jitter <= kJitterMax, "check.jitter must be 0..{}", kJitterMax
    );
    problems.need(
        check.grace >= Duration::zero() && check.grace <= std::chrono::hours(1),
        "check.grace must be 0s..1h"
    );
    problems.need(
        check.failures_before_warning <= check.failures_before_critical,
        "check.failures_before_warning must be at most check.failures_before_critical"
    );
}

}  // namespace

std::optional<std::pair<int, int>> parse_status_range(std::string_view text) noexcept {
    const std::size_t dash = text.find('-');
    const auto first = parse_number<unsigned>(trim(text.substr(0, dash)));
    const auto last = dash == std::string_view::npos
                          ? first
                          : parse_number<unsigned>(trim(text.substr(dash + 1)));
    if (!first || !last || *first < 100 || *last > 599 || *first > *last) return std::nullopt;
    return std::pair(static_cast<int>(*first), static_cast<int>(*last));
}

std::string problems_of(const HealthCheck& check) {
    Problems problems;
    if (check.kind == Kind::none) return {};
    if (check.kind == Kind::http) http_problems(check, problems);
    if (is_talk(check)) talk_problems(check, problems);
    if (is_talk(check) || check.kind == Kind::http || check.kind == Kind::grpc)
        target_problems(check, problems);
    if (check.kind == Kind::exec) exec_problems(check, problems);
    if (check.kind == Kind::grpc) {
        problems.need(
            check.grpc_service.size() <= 255 && !has_control(check.grpc_service),
            "check.grpc_service: at most 255 bytes"
        );
    }
    if (check.kind == Kind::http || check.kind == Kind::grpc) {
        problems.need(
            check.bearer_token.size() <= kHeaderBytesMax && !has_control(check.bearer_token),
            "check.bearer_token must be printable, at most {} bytes",
            kHeaderBytesMax
        );
        tls_problems(check, problems);
    }
    if (check.kind == Kind::tcp) tls_problems(check, problems);
    if (check.kind == Kind::alias) {
        problems.need(
            !check.alias.empty() && check.alias.size() <= 255 && !has_control(check.alias),
            "check.alias must be the id of a service instance"
        );
    }
    if (check.kind == Kind::custom) {
        problems.need(
            check.custom != nullptr && *check.custom != nullptr, "check.custom must be a function"
        );
    }
    if (check.kind == Kind::ttl) {
        problems.need(check.ttl >= std::chrono::seconds(1), "check.ttl must be at least 1s");
    } else if (check.kind != Kind::alias) {
        schedule_problems(check, problems);
    }
    problems.need(
        check.failures_before_critical >= 1, "check.failures_before_critical must be at least 1"
    );
    problems.need(
        check.successes_before_passing >= 1, "check.successes_before_passing must be at least 1"
    );
    problems.need(
        check.deregister_after >= Duration::zero(), "check.deregister_after must not be negative"
    );
    return std::move(problems).text();
}

std::string_view beyond_registry(const HealthCheck& check) noexcept {
    if (check.kind == Kind::none || check.kind == Kind::ttl || check.kind == Kind::alias) return {};
    if (check.kind == Kind::custom) return "check.custom";
    if (check.grace > Duration::zero()) return "check.grace";
    const bool is_http = check.kind == Kind::http;
    if (is_http || check.kind == Kind::grpc) {
        if (!check.bearer_token.empty()) return "check.bearer_token";
        if (!check.tls.ca.empty()) return "check.tls.ca";
        if (!check.tls.certificate.empty()) return "check.tls.certificate";
    }
    if (is_http && !check.expected_status.empty()) return "check.expected_status";
    if (is_http && !check.expected_body.empty()) return "check.expected_body";
    if (is_http && check.follow_redirects && check.redirects_max != HealthCheck{}.redirects_max) {
        return "check.redirects_max";
    }
    if (is_talk(check) && (!check.send.empty() || !check.expect.empty())) {
        return "check.send and check.expect";
    }
    if (check.kind == Kind::tcp && check.tls.enabled) return "check.tls";
    return {};
}

}  // namespace datapunk::mesh::core
