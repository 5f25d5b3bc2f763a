#include "routing/route_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "core/rng.h"
#include "core/strings.h"
#include "routing/check_route.h"

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

TEST(RouteTable, APlainRouteHasNoExtrasAndOneThatDoesMoreHas) {
    const auto table =
        RouteTable::create(
            {
                {.name = "plain", .service = "s", .timeout = std::chrono::seconds(1)},
                {.name = "moved", .path_prefix = "/moved", .redirect = Redirect{.path = "/"}},
                {.name = "edits",
                 .path_prefix = "/edits",
                 .service = "s",
                 .response_headers = {.set = {{"a", "b"}}}},
            }
        )
            .value();
    EXPECT_EQ(table.find({"", "h", "/", "GET", {}}).extras, nullptr);
    const RouteMatch moved = table.find({"", "h", "/moved", "GET", {}});
    EXPECT_NE(moved.extras, nullptr);
    EXPECT_EQ(moved.split, nullptr);
    EXPECT_NE(table.find({"", "h", "/edits", "GET", {}}).extras, nullptr);
}

TEST(RouteTable, ABrowsersQuestionFindsTheRouteOfWhatItAsksAbout) {
    const auto table =
        RouteTable::create({
                               {.name = "put",
                                .methods = {"PUT"},
                                .service = "s",
                                .cors = CorsPolicy{.allow_origins = {"*"}}},
                               {.name = "delete", .methods = {"DELETE"}, .service = "s"},
                               {.name = "other", .service = "s"},
                           })
            .value();
    const auto asked = [&](std::string_view method) {
        RouteRequest request{"", "h", "/", "OPTIONS", {}};
        request.preflight_method = method;
        return name_of(table, request);
    };
    EXPECT_EQ(asked("PUT"), "put");
    EXPECT_EQ(asked("DELETE"), "other") << "it has no rules for that";
    EXPECT_EQ(asked(""), "other");
}

TEST(RouteTable, AnInheritedRateLimitGoesOnWithWhatItHasCounted) {
    const auto limited = [](std::string name, std::uint32_t calls) {
        Route route{.name = std::move(name), .service = "s"};
        route.rate_limit = RateLimitConfig{.calls = calls};
        return route;
    };
    const auto of = [](const RouteTable& table) {
        return table.find({"", "h", "/", "GET", {}}).extras->rate_limit;
    };
    const RouteTable before = RouteTable::create({limited("a", 5)}).value();
    const auto next = [&](Route route) {
        RouteTable table = RouteTable::create({std::move(route)}).value();
        table.inherit(before);
        return of(table) == of(before);
    };
    Route changed = limited("a", 5);
    changed.timeout = std::chrono::seconds(1);
    EXPECT_TRUE(next(changed));
    EXPECT_FALSE(next(limited("a", 6)));
    EXPECT_FALSE(next(limited("b", 5)));
    RouteTable none = RouteTable::create({{.name = "a", .service = "s"}}).value();
    none.inherit(before);
    EXPECT_EQ(none.find({"", "h", "/", "GET", {}}).extras, nullptr);
}

TEST(RouteTable, WhatARouteDoesIsChecked) {
    const std::string what = problem({
        {.name = "a", .service = "s", .redirect = Redirect{.path = "/"}},
        {.name = "b", .redirect = Redirect{.status = 300, .scheme = "ftp", .host = "h:1"}},
        {.name = "c", .redirect = Redirect{}},
        {.name = "d", .respond = DirectResponse{.status = 204, .body = "x"}},
        {.name = "e",
         .path_regex = "/.*",
         .service = "s",
         .rewrite = Rewrite{.path = "/a/../b", .prefix = "/x"}},
        {.name = "f", .service = "s", .rewrite = Rewrite{.regex = "(a)", .substitution = "\\2"}},
        {.name = "g",
         .service = "s",
         .request_headers =
             {.remove = {"Content-Length", "X_Forwarded_For"},
              .set = {{"x-ok", "a\r\nb: c"}, {"b d", ""}},
              .add = {{"connection", "close"}, {"x-mesh-deadline-ms", "1"}}}},
        {.name = "h", .service = "s", .sticky = {.by = AffinityConfig::Kind::cookie}},
        {.name = "i", .service = "s", .fault = Fault{}},
        {.name = "j",
         .service = "s",
         .fault =
             Fault{
                 .delay = FaultDelay{.percentage = 101},
                 .abort = FaultAbort{.status = 200, .percentage = 0}
             }},
        {.name = "k",
         .service = "s",
         .cors =
             CorsPolicy{
                 .allow_origins = {"*", "https://a.example/", "null"},
                 .allow_methods = {"P T"},
                 .allow_credentials = true
             }},
        {.name = "l", .redirect = Redirect{.path = "/"}, .timeout = std::chrono::seconds(1)},
        {.name = "m", .subset = {{"a", "b"}}, .split = {{.service = "x"}}},
        {.name = "n", .service = "s", .cors = CorsPolicy{}},
    });
    for (const std::string_view part :
         {"\"a\": service give one of",
          "\"b\": redirect.status must be",
          "\"b\": redirect.scheme must be",
          "\"b\": redirect.host \"h:1\"",
          "\"c\": redirect leads nowhere",
          "\"d\": respond.body an answer of 204",
          "\"e\": rewrite give one of",
          "\"e\": rewrite.path \"/a/../b\"",
          "\"e\": rewrite.prefix there is no prefix",
          "\"f\": rewrite.substitution",
          "\"g\": request_headers.remove[0] Content-Length is not",
          "\"g\": request_headers.remove[1] X_Forwarded_For is not",
          "\"g\": request_headers.set.b d \"b d\" is no header name"}) {
        EXPECT_THAT(what, HasSubstr(std::string(part)));
    }
    EXPECT_THAT(what, HasSubstr("more")) << "twenty are shown";
    const auto only = [](Route route) {
        const auto problems = problems_of(route);
        std::string all;
        for (const auto& [key, text] : problems) all += key + " " + text + "\n";
        return all;
    };
    Route route{.name = "r", .service = "s"};
    route.request_headers = {.set = {{"x-ok", "a\r\nb: c"}}, .add = {{"Connection", "close"}}};
    EXPECT_THAT(only(route), HasSubstr("request_headers.set.x-ok is no value"));
    EXPECT_THAT(only(route), HasSubstr("request_headers.add.Connection Connection is not"));
    route = {.name = "r", .service = "s", .sticky = {.by = AffinityConfig::Kind::cookie}};
    EXPECT_THAT(only(route), HasSubstr("sticky.name is no name"));
    EXPECT_THAT(only(route), HasSubstr("sticky chooses among"));
    route = {.name = "r", .service = "s", .fault = Fault{}};
    EXPECT_THAT(only(route), HasSubstr("fault does nothing"));
    route.fault = Fault{
        .delay = FaultDelay{.percentage = 101},
        .abort =
            FaultAbort{.status = 200, .grpc_status = wire::grpc::GrpcStatus::ok, .percentage = 0}
    };
    for (const std::string_view part :
         {"fault.delay.duration must",
          "fault.delay.percentage must",
          "fault.abort.status must",
          "fault.abort.grpc_status ok",
          "fault.abort.percentage must"})
        EXPECT_THAT(only(route), HasSubstr(std::string(part)));
    route = {.name = "r", .service = "s"};
    route.cors = CorsPolicy{
        .allow_origins = {"*", "https://a.example/", "null", "https://A.example"},
        .allow_origin_regex = {"("},
        .allow_methods = {"P T"},
        .allow_credentials = true
    };
    for (const std::string_view part :
         {"cors.allow_origins[1]",
          "cors.allow_origins[2]",
          "cors.allow_origins[3]",
          "cors.allow_origin_regex[0]",
          "cors.allow_methods[0]",
          "cors.allow_credentials not with"})
        EXPECT_THAT(only(route), HasSubstr(std::string(part)));
    EXPECT_THAT(only(route), testing::Not(HasSubstr("cors.allow_origins[0]")));
    route.cors = CorsPolicy{.allow_origins = {"https://a.example:8443"}, .allow_credentials = true};
    EXPECT_EQ(only(route), "");
    route = {.name = "r", .redirect = Redirect{.path = "/"}, .timeout = std::chrono::seconds(1)};
    EXPECT_THAT(only(route), HasSubstr("timeout has no effect"));
    route = {.name = "r", .subset = {{"a", "b"}}, .split = {{.service = "x"}}};
    EXPECT_THAT(only(route), HasSubstr("subset is of the service"));
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
         .rewrite = Rewrite{.prefix = "no"},
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
          "rewrite.prefix \"no\"",
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
