#include "routing/check_route.h"

#include <datapunk/mesh/registration.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/strings.h"
#include "routing/condition.h"
#include "routing/host.h"
#include "routing/pattern.h"

namespace datapunk::mesh::routing {

namespace {

constexpr std::size_t kNameBytesMax = 128;   // it is a metric label
constexpr std::size_t kPathBytesMax = 1024;  // of what a route says, not of a request
constexpr std::size_t kListMax = 100;        // hosts, methods, headers … of one route
constexpr std::size_t kShownBytesMax = 200;

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
        if (route_.service.empty() && route_.split.empty()) {
            need(false, "service", "is required, or split");
        } else {
            need(route_.service.empty() || route_.split.empty(), "split", "not beside service");
        }
        if (!route_.service.empty()) service(route_.service, "service");
        for (std::size_t i = 0; i < route_.split.size(); ++i)
            service(route_.split[i].service, at("split", i) + ".service");
        need(
            !route_.rewrite_prefix || is_path(*route_.rewrite_prefix),
            "rewrite_prefix",
            "\"{}\" must begin with / and have no query",
            shown(route_.rewrite_prefix.value_or(""))
        );
        need(!route_.timeout || *route_.timeout > Duration::zero(), "timeout", "must be positive");
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
    return checker.take();
}

}  // namespace datapunk::mesh::routing
