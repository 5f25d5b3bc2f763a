#include "routing/cors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "core/strings.h"

namespace datapunk::mesh::routing {

using wire::http1::Field;
using wire::http1::Header;

namespace {

constexpr std::string_view kRequestMethod = "access-control-request-method";
constexpr std::string_view kRequestHeaders = "access-control-request-headers";

bool has_star(const std::vector<std::string>& list) {
    return std::find(list.begin(), list.end(), "*") != list.end();
}

void put(std::vector<Field>& out, std::string_view name, std::string_view value) {
    if (!value.empty())
        out.push_back({.name = name, .value = value, .id = wire::http1::header_of(name)});
}

}  // namespace

std::string_view preflight_method(const wire::http1::RequestHead& request) noexcept {
    if (request.method != wire::http1::Method::options || !request.has(Header::origin)) return {};
    const Field* wanted = request.find(kRequestMethod);
    return wanted == nullptr ? std::string_view() : wanted->value;
}

CorsRules::CorsRules(const CorsPolicy& policy)
    : any_origin_(has_star(policy.allow_origins)),
      any_method_(has_star(policy.allow_methods)),
      any_header_(has_star(policy.allow_headers)),
      credentials_(policy.allow_credentials),
      origins_(policy.allow_origins),
      headers_(fmt::format("{}", fmt::join(policy.allow_headers, ", "))),
      exposed_(fmt::format("{}", fmt::join(policy.expose_headers, ", "))) {
    for (const std::string& expression : policy.allow_origin_regex) {
        if (auto pattern = Pattern::create(expression)) patterns_.push_back(*std::move(pattern));
    }
    std::vector<std::string> methods = {"GET", "HEAD", "POST"};
    for (const std::string& method : policy.allow_methods) {
        if (std::find(methods.begin(), methods.end(), method) == methods.end())
            methods.push_back(method);
    }
    methods_ = any_method_ ? "*" : fmt::format("{}", fmt::join(methods, ", "));
    if (policy.max_age) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*policy.max_age);
        max_age_ = fmt::format("{}", seconds.count());
    }
}

std::string_view CorsRules::allowed_origin(const std::vector<Field>& fields) const noexcept {
    std::string_view origin;
    for (const Field& field : fields) {
        if (field.id != Header::origin) continue;
        if (!origin.empty()) return {};  // a browser sends one
        origin = field.value;
    }
    if (origin.empty()) return {};
    const bool allowed =
        any_origin_ || std::find(origins_.begin(), origins_.end(), origin) != origins_.end() ||
        std::any_of(patterns_.begin(), patterns_.end(), [origin](const Pattern& pattern) {
            return pattern.matches(origin);
        });
    return allowed ? origin : std::string_view();
}

// "*" is enough for all, and lets caches give one answer to all; but with credentials it is no
// permission.
void CorsRules::add_origin(std::string_view origin, std::vector<Field>& out) const {
    const bool for_all = any_origin_ && !credentials_;
    if (!origin.empty()) put(out, "access-control-allow-origin", for_all ? "*" : origin);
    if (!origin.empty() && credentials_) put(out, "access-control-allow-credentials", "true");
    if (!for_all) put(out, "vary", "Origin");
}

void CorsRules::add_to_answer(std::string_view origin, std::vector<Field>& out) const {
    add_origin(origin, out);
    if (!origin.empty()) put(out, "access-control-expose-headers", exposed_);
}

void CorsRules::remove_from_answer(std::vector<Field>& fields) {
    static constexpr std::string_view kPrefix = "access-control-";
    std::erase_if(fields, [](const Field& field) {
        return core::equals_ignoring_case(field.name.substr(0, kPrefix.size()), kPrefix);
    });
}

void CorsRules::add_to_preflight(
    const wire::http1::RequestHead& request, std::string_view origin, std::vector<Field>& out
) const {
    add_origin(origin, out);
    // With credentials "*" is a method, or a header, of that name: then what is asked for is named.
    const bool by_name = credentials_ && any_method_;
    put(out, "access-control-allow-methods", by_name ? preflight_method(request) : methods_);
    const Field* asked = request.find(kRequestHeaders);
    const std::string_view asked_headers = asked == nullptr ? std::string_view() : asked->value;
    put(out, "access-control-allow-headers", credentials_ && any_header_ ? asked_headers : headers_
    );
    put(out, "access-control-max-age", max_age_);
    if (credentials_ && (any_method_ || any_header_))
        put(out, "vary", "Access-Control-Request-Method, Access-Control-Request-Headers");
}

}  // namespace datapunk::mesh::routing
