#include "routing/route_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/rng.h"
#include "core/strings.h"

namespace datapunk::mesh::routing {
namespace {

using testing::HasSubstr;
using wire::http1::Field;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260110;
}

std::string name_of(const RouteTable& table, const RouteRequest& request) {
    const RouteMatch match = table.find(request);
    if (match) return match.route->name;
    return "no " + std::string(to_string(match.why));
}

std::string get(const RouteTable& table, std::string_view host, std::string_view path) {
    return name_of(table, {.host = host, .path = path, .method = "GET"});
}

std::string problem(std::vector<Route> routes) {
    const auto table = RouteTable::create(std::move(routes));
    return table ? "" : table.error().what;
}

TEST(RouteTable, ExactHostBeatsTheLongerWildcardBeatsTheShorterBeatsAny) {
    const auto table = RouteTable::create({
                                              {.name = "any", .service = "s"},
                                              {.name = "c", .hosts = {"*.c"}, .service = "s"},
                                              {.name = "b.c", .hosts = {"*.B.c"}, .service = "s"},
                                              {.name = "a.b.c", .hosts = {"a.b.C"}, .service = "s"},
                                          })
                           .value();
    EXPECT_EQ(get(table, "A.b.c:8080", "/"), "a.b.c");
    EXPECT_EQ(get(table, "x.b.c", "/"), "b.c");
    EXPECT_EQ(get(table, "y.x.b.c", "/"), "b.c");
    EXPECT_EQ(get(table, "b.c", "/"), "c");
    EXPECT_EQ(get(table, "c", "/"), "any");
    EXPECT_EQ(get(table, "", "/"), "any");
}

TEST(RouteTable, ExactPathBeatsTheLongerPrefixAndPrefixesAreWholeSegments) {
    const auto table =
        RouteTable::create({
                               {.name = "root", .service = "s"},
                               {.name = "api", .path_prefix = "/api/", .service = "s"},
                               {.name = "v1", .path_prefix = "/api/v1", .service = "s"},
                               {.name = "exact", .path_exact = "/api/v1", .service = "s"},
                           })
            .value();
    EXPECT_EQ(get(table, "h", "/api/v1"), "exact");
    EXPECT_EQ(get(table, "h", "/api/v1?q=/api"), "exact");
    EXPECT_EQ(get(table, "h", "/api/v1/"), "v1");
    EXPECT_EQ(get(table, "h", "/api/v1/x/y/z"), "v1");
    EXPECT_EQ(get(table, "h", "/api/v10"), "api");
    EXPECT_EQ(get(table, "h", "/api"), "api");
    EXPECT_EQ(get(table, "h", "/apix"), "root");
    EXPECT_EQ(get(table, "h", "*"), "root");
    EXPECT_EQ(get(table, "h", ""), "root");
}

TEST(RouteTable, TheListenersOwnRoutesComeFirst) {
    const auto table =
        RouteTable::create(
            {
                {.name = "everywhere", .hosts = {"h"}, .service = "s"},
                {.name = "inside", .listener = "in", .path_prefix = "/x", .service = "s"},
            }
        )
            .value();
    EXPECT_EQ(name_of(table, {"in", "h", "/x", "GET", {}}), "inside");
    EXPECT_EQ(name_of(table, {"in", "h", "/y", "GET", {}}), "everywhere");
    EXPECT_EQ(name_of(table, {"out", "h", "/x", "GET", {}}), "everywhere");
    EXPECT_EQ(name_of(table, {"out", "other", "/x", "GET", {}}), "no host");
}

TEST(RouteTable, MethodsAndMoreHeadersAreMoreSpecific) {
    const auto table =
        RouteTable::create(
            {
                {.name = "all", .service = "s"},
                {.name = "get", .methods = {"GET"}, .service = "s"},
                {.name = "one", .headers = {{"X-Beta", std::nullopt}}, .service = "s"},
                {.name = "two", .headers = {{"x-beta", "1"}, {"x-team", "a"}}, .service = "s"},
            }
        )
            .value();
    const std::vector<Field> beta = {{"x-BETA", "1"}};
    const std::vector<Field> both = {{"X-Team", "a"}, {"X-Beta", "0"}, {"X-Beta", "1"}};
    const std::vector<Field> case_differs = {{"X-Team", "A"}, {"X-Beta", "1"}};
    EXPECT_EQ(name_of(table, {"", "h", "/", "GET", both}), "get");
    EXPECT_EQ(name_of(table, {"", "h", "/", "PUT", both}), "two");
    EXPECT_EQ(name_of(table, {"", "h", "/", "PUT", beta}), "one");
    EXPECT_EQ(name_of(table, {"", "h", "/", "PUT", case_differs}), "one");
    EXPECT_EQ(name_of(table, {"", "h", "/", "get", {}}), "all");
}

TEST(RouteTable, AnExpressionComesAfterTheExactPathAndBeforeEveryPrefix) {
    const auto table =
        RouteTable::create(
            {
                {.name = "long", .path_prefix = "/v1/users/all", .service = "s"},
                {.name = "first", .path_regex = "/v[0-9]+/.*", .service = "s"},
                {.name = "second", .path_regex = "/v1/.*", .service = "s"},
                {.name = "put", .path_regex = "/v[0-9]+/.*", .methods = {"PUT"}, .service = "s"},
                {.name = "exact", .path_exact = "/v1/x", .service = "s"},
                {.name = "root", .service = "s"},
            }
        )
            .value();
    EXPECT_EQ(get(table, "h", "/v1/x"), "exact");
    EXPECT_EQ(get(table, "h", "/v1/users/all"), "first") << "the order of the list";
    EXPECT_EQ(get(table, "h", "/v2/y?q=/z"), "first") << "without the query";
    EXPECT_EQ(name_of(table, {"", "h", "/v1/y", "PUT", {}}), "put") << "of one text by methods";
    EXPECT_EQ(get(table, "h", "/v/users"), "root");
}

TEST(RouteTable, AHostOfItsOwnBeatsAnExpressionOfAnyHost) {
    const auto table =
        RouteTable::create({
                               {.name = "expression", .path_regex = "/.*", .service = "s"},
                               {.name = "host", .hosts = {"h"}, .path_prefix = "/x", .service = "s"
                               },
                           })
            .value();
    EXPECT_EQ(get(table, "h", "/x"), "host");
    EXPECT_EQ(get(table, "h", "/y"), "expression");
}

TEST(RouteTable, QueryConditionsAreTheLastToBeCounted) {
    const auto table =
        RouteTable::create(
            {
                {.name = "none", .service = "s"},
                {.name = "query",
                 .query = {{.name = "a", .exact = "1"}, {.name = "b", .prefix = "2"}},
                 .service = "s"},
                {.name = "one", .query = {{.name = "a"}}, .service = "s"},
                {.name = "header", .headers = {{.name = "h"}}, .service = "s"},
            }
        )
            .value();
    const std::vector<Field> h = {{"h", "1"}};
    EXPECT_EQ(get(table, "h", "/?b=22&a=1"), "query");
    EXPECT_EQ(get(table, "h", "/?b=12&a=1"), "one");
    EXPECT_EQ(get(table, "h", "/#?a=1"), "none");
    EXPECT_EQ(get(table, "h", "/?c"), "none");
    EXPECT_EQ(name_of(table, {"", "h", "/?b=2&a=1", "GET", h}), "header");
}

TEST(RouteTable, SaysThatOnlyTheQueryDidNotFit) {
    const auto table =
        RouteTable::create({{.name = "r", .query = {{.name = "q"}}, .service = "s"}});
    ASSERT_TRUE(table);
    EXPECT_EQ(get(*table, "h", "/?x"), "no query");
    EXPECT_THAT(
        explain({"in", "h", "/", "GET", {}}, NoRoute::query), HasSubstr("query conditions")
    );
}

TEST(RouteTable, ExpressionsAreCounted) {
    std::vector<Route> routes;
    for (std::size_t i = 0; i < RouteTable::kPathExpressionsOfAHost; ++i)
        routes.push_back(
            {.name = std::to_string(i), .path_regex = "/" + std::to_string(i), .service = "s"}
        );
    EXPECT_EQ(problem(routes), "");
    routes.push_back({.name = "same", .path_regex = "/1", .methods = {"GET"}, .service = "s"});
    EXPECT_EQ(problem(routes), "") << "the text is there already";
    routes.push_back({.name = "more", .path_regex = "/x", .service = "s"});
    EXPECT_THAT(problem(routes), HasSubstr("101 different path_regex for host \"*\", at most 100"));
    routes.pop_back();
    ValueMatch match{.name = "h", .regex = "x"};
    for (std::size_t i = routes.size(); i < 1'001; ++i)
        routes.push_back(
            {.name = std::to_string(i),
             .path_exact = "/" + std::to_string(i),
             .headers = {match},
             .service = "s"}
        );
    EXPECT_THAT(problem(routes), HasSubstr("1001 regular expressions, at most 1000"));
}

TEST(RouteTable, SaysHowFarTheSearchCame) {
    const auto table = RouteTable::create({
                                              {.name = "r",
                                               .hosts = {"h"},
                                               .path_prefix = "/x",
                                               .methods = {"GET"},
                                               .headers = {{"x-beta", std::nullopt}},
                                               .service = "s"},
                                          })
                           .value();
    EXPECT_EQ(get(table, "other", "/x"), "no host");
    EXPECT_EQ(get(table, "h", "/y"), "no path");
    EXPECT_EQ(name_of(table, {"", "h", "/x", "PUT", {}}), "no method");
    EXPECT_EQ(get(table, "h", "/x"), "no header");
    EXPECT_EQ(
        explain({"in", "h", "/y?secret", "GET", {}}, NoRoute::path),
        "GET h/y on listener \"in\": no route of this host has this path"
    );
    EXPECT_EQ(get(RouteTable(), "h", "/"), "no host");
}

TEST(RouteTable, ConflictsAreRefusedAndNameBoth) {
    EXPECT_THAT(
        problem({{.name = "a", .service = "s"}, {.name = "b", .service = "t"}}),
        HasSubstr("\"a\" and \"b\" match the same requests")
    );
    EXPECT_THAT(
        problem({
            {.name = "a", .hosts = {"h", "i"}, .methods = {"GET", "PUT"}, .service = "s"},
            {.name = "b", .hosts = {"I"}, .methods = {"PUT"}, .service = "s"},
        }),
        HasSubstr("PUT, path \"/\"")
    );
    EXPECT_THAT(
        problem({
            {.name = "a", .headers = {{"X-A", "1"}, {"b", std::nullopt}}, .service = "s"},
            {.name = "b", .headers = {{"B", std::nullopt}, {"x-a", "1"}}, .service = "s"},
        }),
        HasSubstr("\"a\" and \"b\"")
    );
    EXPECT_THAT(
        problem({
            {.name = "a", .path_prefix = "/x", .service = "s"},
            {.name = "b", .path_prefix = "/x/", .service = "s"},
        }),
        HasSubstr("\"a\" and \"b\"")
    );
    EXPECT_THAT(
        problem({
            {.name = "a", .path_regex = "/x.*", .query = {{"a", "1"}, {"b"}}, .service = "s"},
            {.name = "b", .path_regex = "/x.*", .query = {{"b"}, {"a", "1"}}, .service = "s"},
        }),
        HasSubstr("\"a\" and \"b\"")
    );
}

TEST(RouteTable, WhatDiffersAnywhereIsNoConflict) {
    EXPECT_EQ(
        problem({
            {.name = "1", .service = "s"},
            {.name = "2", .listener = "in", .service = "s"},
            {.name = "3", .hosts = {"h", "h"}, .service = "s"},
            {.name = "4", .path_exact = "/", .service = "s"},
            {.name = "5", .methods = {"GET"}, .service = "s"},
            {.name = "6", .methods = {"PUT", "PUT"}, .service = "s"},
            {.name = "7", .headers = {{"a", "1"}}, .service = "s"},
            {.name = "8", .headers = {{"a", "2"}}, .service = "s"},
            {.name = "9", .headers = {{"a", std::nullopt}}, .service = "s"},
            {.name = "10", .headers = {{.name = "a", .prefix = "1"}}, .service = "s"},
            {.name = "11", .headers = {{.name = "a", .regex = "1"}}, .service = "s"},
            {.name = "12", .headers = {{.name = "a", .present = false}}, .service = "s"},
            {.name = "13", .query = {{"a", "1"}}, .service = "s"},
            {.name = "14", .query = {{"A", "1"}}, .service = "s"},
            {.name = "15", .path_regex = "/", .service = "s"},
            {.name = "16", .path_regex = "/+", .service = "s"},
        }),
        ""
    );
}

TEST(RouteTable, ReportsAllProblemsAtOnce) {
    const std::string what = problem({
        {.name = "a",
         .hosts = {"h:80"},
         .path_prefix = "x",
         .path_exact = "/y?z",
         .methods = {"G T"},
         .headers = {{"", std::nullopt}},
         .rewrite_prefix = "no",
         .timeout = Duration::zero()},
        {.name = "a", .service = "Bad Name"},
        {.name = "c",
         .path_prefix = "/c",
         .path_regex = "(",
         .headers = {{.name = "Host"}, {.name = "x", .exact = "1", .prefix = "2"}},
         .query = {{.name = ""}}},
    });
    for (const std::string_view part :
         {"hosts[0] \"h:80\"",
          "path_prefix \"x\"",
          "path \"/y?z\"",
          "path not together with path_prefix",
          "\"G T\" is no method",
          "no header name",
          "service is required",
          "rewrite_prefix \"no\"",
          "timeout must be positive",
          "two are called \"a\"",
          "path_regex not together",
          "path_regex is no regular expression",
          "headers[0].name the host is",
          "headers[1] give one of",
          "query[0].name is no name"}) {
        EXPECT_THAT(what, HasSubstr(std::string(part)));
    }
    EXPECT_THAT(problem({{.name = "", .service = "s"}}), HasSubstr("name must be"));
    EXPECT_THAT(
        problem({{.name = "b", .split = {{"x", 0}}}}), HasSubstr("\"b\": the weights of a split")
    );
}

TEST(RouteTable, GivesTheServiceAlsoOfASplit) {
    core::Rng rng(1);
    const auto table =
        RouteTable::create({
                               {.name = "one", .service = "s"},
                               {.name = "two", .path_prefix = "/x", .split = {{"v1", 1}, {"v2", 0}}
                               },
                           })
            .value();
    EXPECT_EQ(table.find({"", "h", "/", "GET", {}}).split->pick(rng), "s");
    EXPECT_EQ(table.find({"", "h", "/x", "GET", {}}).split->pick("key"), "v1");
}

TEST(Rewrite, ReplacesTheMatchedPartAndKeepsTheRest) {
    const auto rewrite = [](std::string prefix, std::string to, std::string_view target) {
        return rewritten(
            {.path_prefix = std::move(prefix), .rewrite_prefix = std::move(to)}, target
        );
    };
    EXPECT_EQ(rewrite("/api", "/v2", "/api/x?q=1"), "/v2/x?q=1");
    EXPECT_EQ(rewrite("/api/", "/v2/", "/api/x"), "/v2/x");
    EXPECT_EQ(rewrite("/api", "/", "/api/x"), "/x");
    EXPECT_EQ(rewrite("/api", "/", "/api"), "/");
    EXPECT_EQ(rewrite("/api", "/", "/api?q"), "/?q");
    EXPECT_EQ(rewrite("/", "/v2", "/x"), "/v2/x");
    EXPECT_EQ(rewrite("/", "/", "/x"), "/x");
    EXPECT_EQ(rewritten({.path_exact = "/a/", .rewrite_prefix = "/b/"}, "/a/?q"), "/b/?q");
    EXPECT_EQ(rewritten({.path_prefix = "/a"}, "/a/x"), "/a/x");
}

// The rules of the header, by comparing every route with every other.
const Route* naive_find(const std::vector<Route>& routes, const RouteRequest& request) {
    const Route* best = nullptr;
    std::vector<std::size_t> best_rank;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        const Route& r = routes[i];
        if (!r.listener.empty() && r.listener != request.listener) continue;
        std::size_t host_rank = r.hosts.empty() ? 1 : 0;
        for (const std::string& host : r.hosts) {
            if (host == request.host) host_rank = 1000;
            if (host.starts_with("*.") && request.host.size() > host.size() - 1 &&
                request.host.ends_with(host.substr(1))) {
                host_rank = std::max(host_rank, host.size());
            }
        }
        if (host_rank == 0) continue;
        std::size_t path_rank = 0;
        if (!r.path_regex.empty()) {  // of these, "(/[a-z])+"
            if (request.path.size() % 2 != 0) continue;
            bool fits = !request.path.empty();
            for (std::size_t c = 0; c < request.path.size(); ++c)
                fits = fits && (c % 2 == 0) == (request.path[c] == '/');
            if (!fits) continue;
            path_rank = 900;
        } else if (!r.path_exact.empty()) {
            if (r.path_exact != request.path) continue;
            path_rank = 1000;
        } else if (r.path_prefix != "/") {
            const std::string with_slash = r.path_prefix + "/";
            if (request.path != r.path_prefix && !request.path.starts_with(with_slash)) continue;
            path_rank = r.path_prefix.size();
        }
        if (!r.methods.empty() && r.methods[0] != request.method) continue;
        std::vector<std::size_t> rank = {
            r.listener.empty() ? 0U : 1U,
            host_rank,
            path_rank,
            r.methods.empty() ? 0U : 1U,
        };
        if (best == nullptr || rank > best_rank) {
            best = &r;
            best_rank = rank;
        }
    }
    return best;
}

TEST(RouteTable, AgreesWithTheNaiveSearchOnRandomTables) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    const auto any_of = [&](const std::vector<std::string>& list) {
        return list[rng.below(list.size())];
    };
    const std::vector<std::string> listeners = {"", "in", "out"};
    const std::vector<std::string> patterns = {"", "c", "b.c", "a.b.c", "*.c", "*.b.c"};
    const std::vector<std::string> paths = {"/", "/x", "/x/y", "/x/y/z", "/xy", "/y"};
    int found = 0;
    int built = 0;
    for (int round = 0; round < 2000; ++round) {
        std::vector<Route> routes;
        for (std::size_t i = 0; i < 1 + rng.below(8); ++i) {
            Route route{.name = std::to_string(i), .listener = any_of(listeners), .service = "s"};
            if (const std::string host = any_of(patterns); !host.empty()) route.hosts = {host};
            if (rng.chance(0.15)) {
                route.path_regex = "(/[a-z])+";
            } else {
                (rng.chance(0.3) ? route.path_exact : route.path_prefix) = any_of(paths);
            }
            if (rng.chance(0.4)) route.methods = {any_of({"GET", "PUT"})};
            routes.push_back(std::move(route));
        }
        const auto table = RouteTable::create(routes);
        if (!table) continue;  // conflicts
        ++built;
        for (int i = 0; i < 50; ++i) {
            const std::string listener = any_of({"in", "out", "other"});
            const std::string host = any_of({"c", "b.c", "a.b.c", "z.b.c", "d"});
            const std::string path = any_of(paths) + any_of({"", "", "/", "/q"});
            const std::string method = any_of({"GET", "PUT"});
            const RouteRequest request{listener, host, path, method, {}};
            const Route* const expected = naive_find(table->routes(), request);
            ASSERT_EQ(table->find(request).route, expected) << listener << host << path << method;
            found += expected != nullptr ? 1 : 0;
        }
    }
    EXPECT_GT(built, 1000);
    EXPECT_GT(found, 10'000);
}

}  // namespace
}  // namespace datapunk::mesh::routing
