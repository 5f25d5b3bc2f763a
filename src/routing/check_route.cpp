#include "routing/check_route.h"

#include <datapunk/mesh/registration.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "routing/host.h"

namespace datapunk::mesh::routing {

namespace {

constexpr std::size_t kNameBytesMax = 128;   // it is a metric label
constexpr std::size_t kPathBytesMax = 1024;  // of what a route says, not of a request
constexpr std::size_t kListMax = 100;        // hosts, methods or headers of one route

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
    Checker(const Route& route, std::vector<std::string>& problems)
        : route_(route), problems_(problems) {}

    template <class... Args>
    void need(bool holds, fmt::format_string<Args...> text, Args&&... args) {
        if (holds) return;
        problems_.push_back(
            fmt::format("\"{}\": ", route_.name.substr(0, kNameBytesMax)) +
            fmt::format(text, std::forward<Args>(args)...)
        );
    }

    void matches() {
        need(
            !route_.name.empty() && route_.name.size() <= kNameBytesMax &&
                is_printable(route_.name),
            "name must be 1..{} printable bytes",
            kNameBytesMax
        );
        need(route_.hosts.size() <= kListMax, "at most {} hosts", kListMax);
        for (const std::string& host : route_.hosts) {
            need(is_host_pattern(host), "host \"{}\" is no name, \"*.name\" or \"*\"", host);
        }
        need(
            is_path(route_.path_prefix),
            "path_prefix \"{}\" must start with '/' and have no query",
            route_.path_prefix
        );
        need(
            route_.path_exact.empty() || is_path(route_.path_exact),
            "path_exact \"{}\" must start with '/' and have no query",
            route_.path_exact
        );
        need(
            route_.path_exact.empty() || route_.path_prefix == "/",
            "give path_prefix or path_exact, not both"
        );
        need(route_.methods.size() <= kListMax, "at most {} methods", kListMax);
        for (const std::string& method : route_.methods) {
            need(is_token(method), "\"{}\" is no method", method);
        }
        need(route_.headers.size() <= kListMax, "at most {} headers", kListMax);
        for (const auto& [name, value] : route_.headers) {
            need(is_token(name), "\"{}\" is no header name", name);
            need(!value || is_printable(*value), "the value of header \"{}\" is not text", name);
        }
    }

    void target() {
        need(
            route_.service.empty() != route_.split.empty(), "give service or split, one of the two"
        );
        if (!route_.service.empty()) service(route_.service);
        for (const WeightedService& one : route_.split) service(one.service);
        need(
            !route_.rewrite_prefix || is_path(*route_.rewrite_prefix),
            "rewrite_prefix \"{}\" must start with '/' and have no query",
            route_.rewrite_prefix.value_or("")
        );
        need(!route_.timeout || *route_.timeout > Duration::zero(), "timeout must be positive");
    }

  private:
    void service(const std::string& name) {
        const auto verdict = check_service_name(name);
        need(verdict.ok(), "{}", verdict ? std::string() : verdict.error().what);
    }

    const Route& route_;
    std::vector<std::string>& problems_;
};

}  // namespace

void check_route(const Route& route, std::vector<std::string>& problems) {
    Checker checker(route, problems);
    checker.matches();
    checker.target();
}

}  // namespace datapunk::mesh::routing
