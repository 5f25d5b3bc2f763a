#include "routing/route_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "core/strings.h"
#include "routing/check_route.h"
#include "routing/host.h"

namespace datapunk::mesh::routing {

namespace {

constexpr std::size_t kProblemsMax = 20;  // of one error: more are counted, not shown

std::string_view without_query(std::string_view target) {
    return target.substr(0, target.find_first_of("?#"));
}

// "/api/" and "/api" are one prefix; "/" is the empty one.
std::string_view trimmed_prefix(std::string_view prefix) {
    while (prefix.ends_with('/')) prefix.remove_suffix(1);
    return prefix;
}

bool method_fits(const Route& route, std::string_view method) {
    return route.methods.empty() ||
           std::find(route.methods.begin(), route.methods.end(), method) != route.methods.end();
}

bool headers_fit(const Route& route, std::span<const wire::http1::Field> fields) {
    return std::all_of(route.headers.begin(), route.headers.end(), [&](const HeaderMatch& wanted) {
        return std::any_of(fields.begin(), fields.end(), [&](const wire::http1::Field& field) {
            return core::equals_ignoring_case(field.name, wanted.name) &&
                   (!wanted.value || field.value == *wanted.value);
        });
    });
}

// The header conditions in one canonical text. Control bytes cannot occur in either part.
std::string headers_key(const Route& route) {
    std::set<std::string> parts;
    for (const HeaderMatch& header : route.headers) {
        std::string part = core::lowercase(header.name);
        if (header.value) (part += '\1') += *header.value;
        parts.insert(std::move(part));
    }
    std::string key;
    for (const std::string& part : parts) (key += part) += '\2';
    return key;
}

Result<> refused(const std::vector<std::string>& problems) {
    if (problems.empty()) return Ok{};
    const std::size_t shown = std::min(problems.size(), kProblemsMax);
    std::string what = fmt::format(
        "routes: {}",
        fmt::join(problems.begin(), problems.begin() + static_cast<std::ptrdiff_t>(shown), "; ")
    );
    if (shown < problems.size()) what += fmt::format("; and {} more", problems.size() - shown);
    return Error{.code = Code::invalid, .what = std::move(what)};
}

}  // namespace

std::string_view to_string(NoRoute why) noexcept {
    switch (why) {
        case NoRoute::none:
            return "none";
        case NoRoute::host:
            return "host";
        case NoRoute::path:
            return "path";
        case NoRoute::method:
            return "method";
        case NoRoute::header:
            return "header";
    }
    return "unknown";
}

Result<RouteTable> RouteTable::create(std::vector<Route> routes) {
    std::vector<std::string> problems;
    if (routes.size() > kRoutesMax) {
        problems.push_back(fmt::format("{} of them, at most {}", routes.size(), kRoutesMax));
        return refused(problems).error();
    }
    std::set<std::string_view> names;
    RouteTable table;
    table.splits_.reserve(routes.size());
    for (const Route& route : routes) {
        if (!names.insert(route.name).second) {
            problems.push_back(fmt::format("two are called \"{}\"", route.name));
        }
        check_route(route, problems);
        auto split = TrafficSplit::create(
            route.split.empty() ? std::vector<WeightedService>{{.service = route.service}}
                                : route.split
        );
        if (split) {
            table.splits_.push_back(std::move(split).value());
        } else {
            problems.push_back(fmt::format("\"{}\": {}", route.name, split.error().what));
        }
    }
    if (auto verdict = refused(problems); !verdict) return verdict.error();
    table.routes_ = std::move(routes);
    for (std::uint32_t i = 0; i < table.routes_.size(); ++i) table.add(i);
    if (auto verdict = refused(table.conflicts()); !verdict) return verdict.error();
    return table;
}

void RouteTable::add(std::uint32_t index) {
    const Route& route = routes_[index];
    Listener& listener = listeners_[route.listener];
    std::set<std::string> hosts;
    for (const std::string& host : route.hosts) hosts.insert(core::lowercase(host));
    if (hosts.empty() || hosts.contains("*")) hosts = {"*"};
    for (const std::string& name : hosts) {
        Host& host = name == "*"              ? listener.any[""]
                     : name.starts_with("*.") ? listener.wildcard[name.substr(1)]
                                              : listener.exact[name];
        const std::string_view prefix = trimmed_prefix(route.path_prefix);
        Candidates& list = route.path_exact.empty() ? host.prefix[std::string(prefix)]
                                                    : host.exact[route.path_exact];
        if (route.path_exact.empty()) {
            host.prefix_bytes_max = std::max(host.prefix_bytes_max, prefix.size());
        }
        const auto rank = [&](std::uint32_t i) {
            return std::tuple(routes_[i].methods.empty(), ~routes_[i].headers.size(), i);
        };
        const auto at = std::upper_bound(
            list.begin(),
            list.end(),
            index,
            [&](std::uint32_t a, std::uint32_t b) { return rank(a) < rank(b); }
        );
        list.insert(at, index);
    }
}

std::vector<std::string> RouteTable::conflicts() const {
    std::vector<std::string> out;
    for (const auto& [listener_name, listener] : listeners_) {
        for (const auto* const hosts : {&listener.exact, &listener.wildcard, &listener.any}) {
            for (const auto& [host_name, host] : *hosts) {
                find_conflicts(host.exact, out);
                find_conflicts(host.prefix, out);
            }
        }
    }
    std::sort(out.begin(), out.end());  // routes that share several hosts conflict in each
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

void RouteTable::find_conflicts(const ByPath& paths, std::vector<std::string>& out) const {
    for (const auto& [path, candidates] : paths) {
        std::map<std::string, std::uint32_t> seen;
        for (const std::uint32_t index : candidates) {
            const Route& route = routes_[index];
            const std::string headers = headers_key(route);
            std::vector<std::string> methods = route.methods;
            if (methods.empty()) methods.emplace_back();
            for (const std::string& method : methods) {
                const auto [at, is_new] = seen.emplace(method + '\3' + headers, index);
                if (is_new || at->second == index) continue;
                out.push_back(fmt::format(
                    "\"{}\" and \"{}\" match the same requests ({}path \"{}\")",
                    routes_[at->second].name,
                    route.name,
                    method.empty() ? "" : method + ", ",
                    path.empty() ? "/" : path
                ));
            }
        }
    }
}

RouteMatch RouteTable::find(const RouteRequest& request) const {
    RouteMatch miss{.why = NoRoute::host};
    const std::string host = normal_host(request.host).value_or("");
    for (const std::string_view name : {request.listener, std::string_view()}) {
        const auto listener = listeners_.find(name);
        if (listener == listeners_.end()) continue;
        const RouteMatch match = find_in(listener->second, host, request);
        if (match) return match;
        miss.why = std::max(miss.why, match.why);
        if (name.empty()) break;
    }
    return miss;
}

RouteMatch RouteTable::find_in(
    const Listener& listener, std::string_view host, const RouteRequest& request
) const {
    RouteMatch miss{.why = NoRoute::host};
    const auto look = [&](const auto& hosts, std::string_view name) {
        const auto found = hosts.find(name);
        if (found == hosts.end()) return RouteMatch{.why = NoRoute::host};
        return find_in(found->second, request);
    };
    RouteMatch match = look(listener.exact, host);
    if (match) return match;
    miss.why = std::max(miss.why, match.why);
    // ".b.c" of "a.b.c", then ".c". A host of 255 bytes has at most 127 dots.
    for (std::size_t dot = host.find('.', 1);
         !listener.wildcard.empty() && dot != std::string_view::npos;
         dot = host.find('.', dot + 1)) {
        match = look(listener.wildcard, host.substr(dot));
        if (match) return match;
        miss.why = std::max(miss.why, match.why);
    }
    match = look(listener.any, "");
    match.why = std::max(match.why, miss.why);
    return match;
}

RouteMatch RouteTable::find_in(const Host& host, const RouteRequest& request) const {
    RouteMatch miss{.why = NoRoute::path};
    const std::string_view path = without_query(request.path);
    if (const auto found = host.exact.find(path); found != host.exact.end()) {
        const RouteMatch match = first_of(found->second, request);
        if (match) return match;
        miss.why = std::max(miss.why, match.why);
    }
    if (host.prefix.empty()) return miss;
    std::string_view key = path;
    // No key is longer, so a path of a thousand segments costs no thousand lookups.
    if (key.size() > host.prefix_bytes_max) {
        const std::size_t slash = key.rfind('/', host.prefix_bytes_max);
        key = slash == std::string_view::npos ? std::string_view() : key.substr(0, slash);
    }
    for (;;) {
        if (const auto found = host.prefix.find(key); found != host.prefix.end()) {
            const RouteMatch match = first_of(found->second, request);
            if (match) return match;
            miss.why = std::max(miss.why, match.why);
        }
        if (key.empty()) return miss;
        const std::size_t slash = key.rfind('/');
        key = slash == std::string_view::npos ? std::string_view() : key.substr(0, slash);
    }
}

RouteMatch RouteTable::first_of(const Candidates& candidates, const RouteRequest& request) const {
    RouteMatch miss{.why = NoRoute::method};
    for (const std::uint32_t index : candidates) {
        const Route& route = routes_[index];
        if (!method_fits(route, request.method)) continue;
        if (headers_fit(route, request.fields)) return {&route, &splits_[index], NoRoute::none};
        miss.why = NoRoute::header;
    }
    return miss;
}

std::string explain(const RouteRequest& request, NoRoute why) {
    constexpr std::size_t kShownBytesMax = 200;
    const auto missing = [&]() -> std::string_view {
        switch (why) {
            case NoRoute::none:
                return "there is a route";
            case NoRoute::host:
                return "no route for this listener and host";
            case NoRoute::path:
                return "no route of this host has this path";
            case NoRoute::method:
                return "no route of this path takes this method";
            case NoRoute::header:
                return "the header conditions of its routes are not met";
        }
        return "unknown";
    };
    return fmt::format(
        "{} {}{} on listener \"{}\": {}",
        request.method.substr(0, kShownBytesMax),
        request.host.substr(0, kShownBytesMax),
        without_query(request.path).substr(0, kShownBytesMax),
        request.listener,
        missing()
    );
}

std::string rewritten(const Route& route, std::string_view target) {
    if (!route.rewrite_prefix) return std::string(target);
    const bool exact = !route.path_exact.empty();
    const std::string_view matched = exact ? route.path_exact : trimmed_prefix(route.path_prefix);
    std::string out(exact ? *route.rewrite_prefix : trimmed_prefix(*route.rewrite_prefix));
    out += target.substr(std::min(matched.size(), target.size()));
    if (!out.starts_with('/')) out.insert(out.begin(), '/');
    return out;
}

}  // namespace datapunk::mesh::routing
