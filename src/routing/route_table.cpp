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

std::string_view query_of(std::string_view target) {
    target = target.substr(0, target.find('#'));
    const std::size_t mark = target.find('?');
    return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
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

// The conditions in one canonical text. Control bytes cannot occur in any part.
std::string key_of(const std::vector<ValueMatch>& matches, bool is_header) {
    std::set<std::string> parts;
    for (const ValueMatch& match : matches) {
        std::string part = is_header ? core::lowercase(match.name) : match.name;
        if (match.exact) (part += "\1=") += *match.exact;
        if (match.prefix) (part += "\1^") += *match.prefix;
        if (match.regex) (part += "\1~") += *match.regex;
        if (!match.present) part += "\1!";
        parts.insert(std::move(part));
    }
    std::string key;
    for (const std::string& part : parts) (key += part) += '\2';
    return key;
}

std::vector<Condition> compiled(const std::vector<ValueMatch>& matches) {
    std::vector<Condition> all;
    for (const ValueMatch& match : matches) {
        if (auto one = Condition::create(match)) all.push_back(*std::move(one));
    }
    return all;
}

std::size_t expressions_in(const Route& route) {
    const auto has_regex = [](const ValueMatch& match) { return match.regex.has_value(); };
    const auto headers = std::count_if(route.headers.begin(), route.headers.end(), has_regex);
    const auto query = std::count_if(route.query.begin(), route.query.end(), has_regex);
    return static_cast<std::size_t>(headers + query) + (route.path_regex.empty() ? 0 : 1);
}

Result<> refused(const std::vector<std::string>& problems) {
    if (problems.empty()) return Ok{};
    const std::size_t shown = std::min(problems.size(), kProblemsMax);
    std::string what = fmt::format(
        "{}",
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
        case NoRoute::query:
            return "query";
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
    table.conditions_.reserve(routes.size());
    std::size_t expressions = 0;
    for (const Route& route : routes) {
        if (!names.insert(route.name).second) {
            problems.push_back(fmt::format("two are called \"{}\"", route.name));
        }
        for (const RouteProblem& problem : problems_of(route))
            problems.push_back(fmt::format("\"{}\": {} {}", route.name, problem.key, problem.text));
        expressions += expressions_in(route);
        table.conditions_.push_back({compiled(route.headers), compiled(route.query)});
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
    if (expressions > kExpressionsMax) {
        problems.push_back(
            fmt::format("{} regular expressions, at most {}", expressions, kExpressionsMax)
        );
    }
    if (auto verdict = refused(problems); !verdict) return verdict.error();
    table.routes_ = std::move(routes);
    for (std::uint32_t i = 0; i < table.routes_.size(); ++i) table.add(i);
    if (auto verdict = refused(table.too_many_expressions()); !verdict) return verdict.error();
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
        Candidates& list = candidates_at(host, route);
        const auto rank = [&](std::uint32_t i) {
            const Route& one = routes_[i];
            return std::tuple(one.methods.empty(), ~one.headers.size(), ~one.query.size(), i);
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

RouteTable::Candidates& RouteTable::candidates_at(Host& host, const Route& route) {
    if (!route.path_exact.empty()) return host.exact[route.path_exact];
    if (route.path_regex.empty()) {
        const std::string_view prefix = trimmed_prefix(route.path_prefix);
        host.prefix_bytes_max = std::max(host.prefix_bytes_max, prefix.size());
        return host.prefix[std::string(prefix)];
    }
    for (ByExpression& known : host.expressions) {
        if (known.text == route.path_regex) return known.candidates;
    }
    auto pattern = Pattern::create(route.path_regex);  // as it was when it was checked
    host.expressions.push_back(
        {.text = route.path_regex,
         .pattern = pattern ? *std::move(pattern) : Pattern(),
         .candidates = {}}
    );
    return host.expressions.back().candidates;
}

std::vector<std::string> RouteTable::too_many_expressions() const {
    std::vector<std::string> out;
    for (const auto& [listener_name, listener] : listeners_) {
        for (const auto* const hosts : {&listener.exact, &listener.wildcard, &listener.any}) {
            for (const auto& [host_name, host] : *hosts) {
                if (host.expressions.size() <= kPathExpressionsOfAHost) continue;
                out.push_back(fmt::format(
                    "{} different path_regex for host \"{}{}\", at most {}: each costs every "
                    "request",
                    host.expressions.size(),
                    hosts == &listener.exact ? "" : "*",
                    host_name,
                    kPathExpressionsOfAHost
                ));
            }
        }
    }
    return out;
}

std::vector<std::string> RouteTable::conflicts() const {
    std::vector<std::string> out;
    for (const auto& [listener_name, listener] : listeners_) {
        for (const auto* const hosts : {&listener.exact, &listener.wildcard, &listener.any}) {
            for (const auto& [host_name, host] : *hosts) {
                for (const auto& [path, candidates] : host.exact)
                    find_conflicts(path, candidates, out);
                for (const ByExpression& one : host.expressions)
                    find_conflicts(one.text, one.candidates, out);
                for (const auto& [path, candidates] : host.prefix)
                    find_conflicts(path, candidates, out);
            }
        }
    }
    std::sort(out.begin(), out.end());  // routes that share several hosts conflict in each
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

void RouteTable::find_conflicts(
    std::string_view path, const Candidates& candidates, std::vector<std::string>& out
) const {
    std::map<std::string, std::uint32_t> seen;
    for (const std::uint32_t index : candidates) {
        const Route& route = routes_[index];
        const std::string conditions =
            key_of(route.headers, true) + '\4' + key_of(route.query, false);
        std::vector<std::string> methods = route.methods;
        if (methods.empty()) methods.emplace_back();
        for (const std::string& method : methods) {
            const auto [at, is_new] = seen.emplace(method + '\3' + conditions, index);
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
    for (const ByExpression& one : host.expressions) {
        if (!one.pattern.matches(path)) continue;
        const RouteMatch match = first_of(one.candidates, request);
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
        const Conditions& wanted = conditions_[index];
        const bool headers_fit =
            std::all_of(wanted.headers.begin(), wanted.headers.end(), [&](const Condition& one) {
                return one.is_met_by_fields(request.fields);
            });
        if (!headers_fit) {
            miss.why = std::max(miss.why, NoRoute::header);
            continue;
        }
        const std::string_view query = query_of(request.path);
        const bool query_fits =
            std::all_of(wanted.query.begin(), wanted.query.end(), [&](const Condition& one) {
                return one.is_met_by_query(query);
            });
        if (query_fits) return {&route, &splits_[index], NoRoute::none};
        miss.why = NoRoute::query;
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
            case NoRoute::query:
                return "the query conditions of its routes are not met";
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
