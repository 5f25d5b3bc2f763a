#include "routing/check_route.h"

#include <datapunk/mesh/registration.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "core/metadata.h"
#include "core/strings.h"
#include "routing/condition.h"
#include "routing/header_edits.h"
#include "routing/host.h"
#include "routing/pattern.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::routing {

namespace {

constexpr std::size_t kNameBytesMax = 128;   // it is a metric label
constexpr std::size_t kPathBytesMax = 1024;  // of what a route says, not of a request
constexpr std::size_t kListMax = 100;        // hosts, methods, headers … of one route
constexpr std::size_t kShownBytesMax = 200;
constexpr std::size_t kBodyBytesMax = 4096;  // as long as a value of the configuration may be
constexpr std::size_t kValueBytesMax = 4096;
constexpr std::size_t kSubstitutionBytesMax = 256;  // it may be put in for every byte of a path

// RFC 9110 5.6.2: what methods and header names are made of.
bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    });
}

bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) >= ' ' && c != 0x7f;
    });
}

bool is_path(std::string_view text) {
    return text.starts_with('/') && text.size() <= kPathBytesMax && is_printable(text) &&
           text.find_first_of("?# ") == std::string_view::npos;
}

// As is_path(), and nothing in it that two servers could read in two ways.
bool is_plain_path(std::string_view text) {
    if (!is_path(text)) return false;
    const auto is_dots = [](std::string_view segment) { return segment == "." || segment == ".."; };
    for (std::size_t at = 1; at <= text.size();) {
        const std::size_t end = std::min(text.find('/', at), text.size());
        if (is_dots(text.substr(at, end - at))) return false;
        at = end + 1;
    }
    return text.find_first_of("%\\") == std::string_view::npos;
}

class Checker {
  public:
    explicit Checker(const Route& route) : route_(route) {}

    void matches() {
        need(
            !route_.name.empty() && route_.name.size() <= kNameBytesMax &&
                is_printable(route_.name),
            "name",
            "must be 1..{} printable bytes",
            kNameBytesMax
        );
        need(route_.hosts.size() <= kListMax, "hosts", "more than {}", kListMax);
        for (std::size_t i = 0; i < route_.hosts.size(); ++i) {
            const std::string& host = route_.hosts[i];
            need(
                is_host_pattern(host),
                at("hosts", i),
                "\"{}\" is no host: a name, *.name or *",
                shown(host)
            );
        }
        paths();
        need(route_.methods.size() <= kListMax, "methods", "more than {}", kListMax);
        for (std::size_t i = 0; i < route_.methods.size(); ++i) {
            need(
                is_token(route_.methods[i]),
                at("methods", i),
                "\"{}\" is no method",
                shown(route_.methods[i])
            );
        }
        need(route_.headers.size() <= kListMax, "headers", "more than {}", kListMax);
        for (std::size_t i = 0; i < route_.headers.size(); ++i) header(i);
        need(route_.query.size() <= kListMax, "query", "more than {}", kListMax);
        for (std::size_t i = 0; i < route_.query.size(); ++i) {
            const std::string& name = route_.query[i].name;
            need(!name.empty() && is_printable(name), at("query", i) + ".name", "is no name");
            value(route_.query[i], at("query", i));
        }
    }

    void target() {
        const int targets = (route_.service.empty() ? 0 : 1) + (route_.split.empty() ? 0 : 1) +
                            (route_.redirect ? 1 : 0) + (route_.respond ? 1 : 0);
        need(targets > 0, "service", "is required, or split, redirect or respond");
        need(targets < 2, "service", "give one of service, split, redirect and respond");
        if (!route_.service.empty()) service(route_.service, "service");
        need(
            route_.subset.empty() || !route_.service.empty(),
            "subset",
            "is of the service: give it, or the subset in split"
        );
        for (const auto& [key, value] : route_.subset) metadata(key, value, "subset");
        for (std::size_t i = 0; i < route_.split.size(); ++i) {
            service(route_.split[i].service, at("split", i) + ".service");
            for (const auto& [key, value] : route_.split[i].subset)
                metadata(key, value, at("split", i) + ".subset");
        }
        const bool needs_name = route_.sticky.by == AffinityConfig::Kind::header ||
                                route_.sticky.by == AffinityConfig::Kind::cookie;
        need(!needs_name || is_token(route_.sticky.name), "sticky.name", "is no name");
        need(
            route_.sticky.by == AffinityConfig::Kind::none || !route_.split.empty(),
            "sticky",
            "chooses among the services of split: there is none"
        );
        need(!route_.timeout || *route_.timeout > Duration::zero(), "timeout", "must be positive");
    }

    void actions() {
        if (route_.redirect) redirect(*route_.redirect);
        if (route_.respond) respond(*route_.respond, "respond");
        if (route_.rewrite) rewrite(*route_.rewrite);
        edits(route_.request_headers, "request_headers");
        edits(route_.response_headers, "response_headers");
        if (route_.fault) fault(*route_.fault);
        if (route_.cors) cors(*route_.cors);
        need(
            !route_.rate_limit || route_.rate_limit->calls > 0,
            "rate_limit.calls",
            "must be above 0"
        );
        if (route_.mirror) mirror(*route_.mirror);
        if (route_.fallback) fallback(*route_.fallback);
        const bool calls = !route_.service.empty() || !route_.split.empty();
        need(calls || !route_.rewrite, "rewrite", "has no effect: no service is asked");
        need(
            calls || route_.request_headers.empty(),
            "request_headers",
            "has no effect: no service is asked"
        );
        need(calls || !route_.mirror, "mirror", "has no effect: no service is asked");
        need(calls || !route_.fallback, "fallback", "has no effect: no service is asked");
        need(calls || !route_.retry, "retry", "has no effect: no service is asked");
        need(calls || !route_.timeout, "timeout", "has no effect: no service is asked");
        need(
            calls || !route_.body_bytes_max, "body_bytes_max", "has no effect: no service is asked"
        );
    }

    std::vector<RouteProblem> take() { return std::move(problems_); }

  private:
    template <class... Args>
    void need(bool holds, std::string key, fmt::format_string<Args...> text, Args&&... args) {
        if (holds) return;
        problems_.push_back({std::move(key), fmt::format(text, std::forward<Args>(args)...)});
    }

    static std::string at(std::string_view list, std::size_t index) {
        return fmt::format("{}[{}]", list, index);
    }

    static std::string_view shown(std::string_view text) { return text.substr(0, kShownBytesMax); }

    void paths() {
        need(
            is_path(route_.path_prefix),
            "path_prefix",
            "\"{}\" must begin with / and have no query",
            shown(route_.path_prefix)
        );
        need(
            route_.path_exact.empty() || is_path(route_.path_exact),
            "path",
            "\"{}\" must begin with / and have no query",
            shown(route_.path_exact)
        );
        const bool has_prefix = route_.path_prefix != "/";
        need(
            !(has_prefix && !route_.path_exact.empty()),
            "path",
            "not together with path_prefix: choose one"
        );
        if (route_.path_regex.empty()) return;
        need(
            !has_prefix && route_.path_exact.empty(),
            "path_regex",
            "not together with path or path_prefix: choose one"
        );
        const auto pattern = Pattern::create(route_.path_regex);
        need(pattern.ok(), "path_regex", "{}", pattern ? "" : "is " + pattern.error().what);
    }

    void header(std::size_t i) {
        const ValueMatch& match = route_.headers[i];
        need(
            is_token(match.name),
            at("headers", i) + ".name",
            "\"{}\" is no header name",
            shown(match.name)
        );
        need(
            !core::equals_ignoring_case(match.name, "host"),
            at("headers", i) + ".name",
            "the host is what hosts compares"
        );
        value(match, at("headers", i));
    }

    void value(const ValueMatch& match, const std::string& key) {
        for (const auto* const text : {&match.exact, &match.prefix, &match.regex}) {
            if (*text) need(is_printable(**text), key, "has a control byte in its value");
        }
        const auto condition = Condition::create(match);
        need(condition.ok(), key, "{}", condition ? "" : condition.error().what);
    }

    void metadata(const std::string& name, const std::string& value, std::string key) {
        const std::string problem = core::meta_problem(name, value);
        need(problem.empty(), std::move(key), "{}", problem);
    }

    // What replaces the part that the route matched by needs such a part.
    void prefix(const std::optional<std::string>& prefix, const std::string& key) {
        if (!prefix) return;
        need(is_plain_path(*prefix), key, "\"{}\" is no path without a query", shown(*prefix));
        need(
            route_.path_regex.empty(), key, "there is no prefix to replace where path_regex matches"
        );
    }

    void host_name(const std::string& host, const std::string& key) {
        const bool is_name = host.find('*') == std::string::npos && is_host_pattern(host);
        need(host.empty() || is_name, key, "\"{}\" is no host name without a port", shown(host));
    }

    void redirect(const Redirect& redirect) {
        static constexpr std::array<int, 5> kStatuses = {301, 302, 303, 307, 308};
        need(
            std::find(kStatuses.begin(), kStatuses.end(), redirect.status) != kStatuses.end(),
            "redirect.status",
            "must be 301, 302, 303, 307 or 308"
        );
        need(
            redirect.scheme.empty() || redirect.scheme == "http" || redirect.scheme == "https",
            "redirect.scheme",
            "must be http or https"
        );
        host_name(redirect.host, "redirect.host");
        need(
            redirect.path.empty() || is_plain_path(redirect.path),
            "redirect.path",
            "\"{}\" is no path without a query",
            shown(redirect.path)
        );
        prefix(redirect.prefix, "redirect.prefix");
        need(
            redirect.path.empty() || !redirect.prefix, "redirect.prefix", "not together with path"
        );
        const Redirect nothing{.status = redirect.status, .strip_query = redirect.strip_query};
        need(
            redirect != nothing,
            "redirect",
            "leads nowhere else: say scheme, host, port, path or prefix"
        );
    }

    void respond(const DirectResponse& respond, const std::string& key) {
        need(respond.status >= 200 && respond.status <= 599, key + ".status", "must be 200..599");
        need(
            respond.body.size() <= kBodyBytesMax, key + ".body", "more than {} bytes", kBodyBytesMax
        );
        const bool has_none =
            respond.status == 204 || respond.status == 205 || respond.status == 304;
        need(
            respond.body.empty() || !has_none,
            key + ".body",
            "an answer of {} has none",
            respond.status
        );
        need(
            wire::http1::is_field_value(respond.content_type) &&
                respond.content_type.size() <= kNameBytesMax,
            key + ".content_type",
            "is no media type"
        );
    }

    void rewrite(const Rewrite& rewrite) {
        const int paths = (rewrite.path.empty() ? 0 : 1) + (rewrite.prefix ? 1 : 0) +
                          (rewrite.regex.empty() ? 0 : 1);
        need(paths < 2, "rewrite", "give one of path, prefix and regex");
        need(
            paths > 0 || !rewrite.host.empty(),
            "rewrite",
            "changes nothing: say host, path, prefix or regex"
        );
        host_name(rewrite.host, "rewrite.host");
        need(
            rewrite.path.empty() || is_plain_path(rewrite.path),
            "rewrite.path",
            "\"{}\" is no path without a query",
            shown(rewrite.path)
        );
        prefix(rewrite.prefix, "rewrite.prefix");
        need(
            rewrite.substitution.empty() || !rewrite.regex.empty(),
            "rewrite.substitution",
            "has no effect without regex"
        );
        if (rewrite.regex.empty()) return;
        const auto pattern = Pattern::create(rewrite.regex);
        need(pattern.ok(), "rewrite.regex", "{}", pattern ? "" : "is " + pattern.error().what);
        need(
            is_printable(rewrite.substitution) &&
                rewrite.substitution.size() <= kSubstitutionBytesMax,
            "rewrite.substitution",
            "more than {} bytes, or a control byte",
            kSubstitutionBytesMax
        );
        if (!pattern) return;
        const std::string problem = pattern->substitution_problem(rewrite.substitution);
        need(problem.empty(), "rewrite.substitution", "{}", problem);
    }

    void edits(const HeaderEdits& edits, const std::string& key) {
        const std::size_t count = edits.remove.size() + edits.set.size() + edits.add.size();
        need(count <= kListMax, key, "more than {} edits", kListMax);
        for (std::size_t i = 0; i < edits.remove.size(); ++i)
            edited(edits.remove[i], at(key + ".remove", i));
        for (const auto* const list : {&edits.set, &edits.add}) {
            for (const auto& [name, value] : *list) {
                const std::string where = key + (list == &edits.set ? ".set." : ".add.") + name;
                edited(name, where);
                need(
                    wire::http1::is_field_value(value) && value.size() <= kValueBytesMax &&
                        core::trim(value) == value,
                    where,
                    "is no value of a header: control bytes, blanks around it, or more than {} "
                    "bytes",
                    kValueBytesMax
                );
            }
        }
    }

    void edited(const std::string& name, const std::string& key) {
        need(is_token(name), key, "\"{}\" is no header name", shown(name));
        need(
            !is_protected_field(name),
            key,
            "{} is not a route's to change: it frames the message, ends at this hop, or is what "
            "this "
            "hop says itself",
            shown(name)
        );
    }

    void mirror(const Mirror& mirror) {
        service(mirror.service, "mirror.service");
        for (const auto& [key, value] : mirror.subset) metadata(key, value, "mirror.subset");
        percentage(mirror.percentage, "mirror.percentage");
    }

    void fallback(const Fallback& fallback) {
        need(
            fallback.service.empty() == fallback.respond.has_value(),
            "fallback",
            "give one of service and respond"
        );
        if (!fallback.service.empty()) service(fallback.service, "fallback.service");
        need(
            fallback.subset.empty() || !fallback.service.empty(),
            "fallback.subset",
            "is of the service: give it"
        );
        for (const auto& [key, value] : fallback.subset) metadata(key, value, "fallback.subset");
        if (fallback.respond) respond(*fallback.respond, "fallback.respond");
    }

    void percentage(double value, const std::string& key) {
        need(value > 0 && value <= 100, key, "must be above 0, at most 100");
    }

    void fault(const Fault& fault) {
        need(fault.delay || fault.abort, "fault", "does nothing: say delay or abort");
        if (fault.delay) {
            need(
                fault.delay->duration > Duration::zero() &&
                    fault.delay->duration <= std::chrono::hours(1),
                "fault.delay.duration",
                "must be above 0, at most 1h"
            );
            percentage(fault.delay->percentage, "fault.delay.percentage");
        }
        if (!fault.abort) return;
        need(
            fault.abort->status >= 400 && fault.abort->status <= 599,
            "fault.abort.status",
            "must be 400..599"
        );
        need(
            fault.abort->grpc_status != wire::grpc::GrpcStatus::ok,
            "fault.abort.grpc_status",
            "ok is no fault"
        );
        percentage(fault.abort->percentage, "fault.abort.percentage");
    }

    // "https://a.example:8443", as a browser writes it; "null" is what it says for pages that have
    // none, which anybody can be.
    static bool is_origin(std::string_view text) {
        const std::size_t scheme = text.find("://");
        if (scheme == std::string_view::npos || !is_token(text.substr(0, scheme))) return false;
        const std::string_view host = text.substr(scheme + 3);
        return !host.empty() && is_printable(host) && core::lowercase(text) == text &&
               host.find_first_of("/?#@, *") == std::string_view::npos;
    }

    void cors(const CorsPolicy& cors) {
        need(
            !cors.allow_origins.empty() || !cors.allow_origin_regex.empty(),
            "cors.allow_origins",
            "is required, or allow_origin_regex"
        );
        bool any = false;
        for (std::size_t i = 0; i < cors.allow_origins.size(); ++i) {
            const std::string& origin = cors.allow_origins[i];
            any = any || origin == "*";
            need(
                origin == "*" || is_origin(origin),
                at("cors.allow_origins", i),
                "\"{}\" is no origin: scheme://host or scheme://host:port in lower case, or *",
                shown(origin)
            );
        }
        need(
            !(any && cors.allow_credentials),
            "cors.allow_credentials",
            "not with any origin: every page would act as its visitor"
        );
        for (std::size_t i = 0; i < cors.allow_origin_regex.size(); ++i) {
            const auto pattern = Pattern::create(cors.allow_origin_regex[i]);
            need(
                pattern.ok(),
                at("cors.allow_origin_regex", i),
                "{}",
                pattern ? "" : "is " + pattern.error().what
            );
        }
        tokens(cors.allow_methods, "cors.allow_methods");
        tokens(cors.allow_headers, "cors.allow_headers");
        tokens(cors.expose_headers, "cors.expose_headers");
        need(
            !cors.max_age || *cors.max_age >= Duration::zero(),
            "cors.max_age",
            "must not be negative"
        );
    }

    void tokens(const std::vector<std::string>& list, const std::string& key) {
        need(list.size() <= kListMax, key, "more than {}", kListMax);
        for (std::size_t i = 0; i < list.size(); ++i)
            need(is_token(list[i]), at(key, i), "\"{}\" is no name", shown(list[i]));
    }

    void service(const std::string& name, std::string key) {
        const auto verdict = check_service_name(name);
        need(verdict.ok(), std::move(key), "{}", verdict ? std::string() : verdict.error().what);
    }

    const Route& route_;
    std::vector<RouteProblem> problems_;
};

}  // namespace

std::vector<RouteProblem> problems_of(const Route& route) {
    Checker checker(route);
    checker.matches();
    checker.target();
    checker.actions();
    return checker.take();
}

}  // namespace datapunk::mesh::routing
