#include "admin/admin_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::admin {
namespace {

http::Response ask(AdminHandler& handler, http::Request request) {
    sim::SimLoop loop(1);
    return *sim::run_on(loop, handler.handle(std::move(request)));
}

AdminHandler with_page(std::string token = {}) {
    AdminHandler handler(std::move(token));
    handler.add("/live", "the loop turns", [](const http::Request&) {
        return http::json_response(200, "{}");
    });
    return handler;
}

TEST(AdminHandler, ServesItsPagesAndListsThem) {
    AdminHandler handler = with_page();
    const http::Response page = ask(handler, {.target = "/live?pretty", .host = "127.0.0.1:19000"});
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.header("cache-control"), "no-store");
    EXPECT_THAT(
        ask(handler, {.target = "/", .host = "localhost"}).body, testing::HasSubstr("/live")
    );
    EXPECT_EQ(ask(handler, {.target = "/nope", .host = "localhost"}).status, 404);
}

TEST(AdminHandler, RefusesMutationsAndForeignHosts) {
    AdminHandler handler = with_page();
    EXPECT_EQ(ask(handler, {.method = "POST", .target = "/live", .host = "localhost"}).status, 405);
    EXPECT_EQ(ask(handler, {.target = "/live", .host = "evil.example"}).status, 403);
    EXPECT_EQ(ask(handler, {.target = "/live", .host = "10.0.0.1:19000"}).status, 403);
    EXPECT_EQ(ask(handler, {.target = "/live", .host = "127.0.0.1.evil.example"}).status, 403);
    EXPECT_EQ(ask(handler, {.target = "/live", .host = "[::1]:19000"}).status, 200);
    EXPECT_EQ(ask(handler, {.target = "/live", .host = "[::1]"}).status, 200);
}

TEST(AdminHandler, ChangesSomethingOnlyByPutAndNotForForeignPages) {
    AdminHandler handler = with_page();
    int done = 0;
    handler.add_action("/act", "does it", [&done](const http::Request&) {
        ++done;
        return http::json_response(200, "{}");
    });
    for (const char* method : {"GET", "POST", "HEAD", "OPTIONS", "DELETE"}) {
        const http::Response wrong =
            ask(handler, {.method = method, .target = "/act", .host = "localhost"});
        EXPECT_EQ(wrong.status, 405) << method;
        EXPECT_EQ(wrong.header("allow"), "PUT");
        EXPECT_EQ(wrong.header("access-control-allow-origin"), "");
    }
    const auto put = [&](std::string host, std::string origin) {
        http::Request request{.method = "PUT", .target = "/act?x=1", .host = std::move(host)};
        if (!origin.empty()) request.headers.push_back({"Origin", std::move(origin)});
        return ask(handler, std::move(request)).status;
    };
    EXPECT_EQ(put("localhost:19000", "http://evil.example"), 403);
    EXPECT_EQ(put("localhost:19000", "http://localhost:3000"), 403);
    EXPECT_EQ(put("localhost:19000", "null"), 403);
    EXPECT_EQ(put("evil.example", ""), 403);
    EXPECT_EQ(done, 0);
    EXPECT_EQ(put("localhost:19000", ""), 200);
    EXPECT_EQ(put("localhost:19000", "http://localhost:19000"), 200);
    EXPECT_EQ(done, 2);
    EXPECT_EQ(ask(handler, {.method = "PUT", .target = "/live", .host = "localhost"}).status, 405);
    EXPECT_THAT(
        ask(handler, {.target = "/", .host = "localhost"}).body, testing::HasSubstr("PUT: does it")
    );
}

TEST(AdminHandler, WithATokenAsksForItFromEverywhere) {
    AdminHandler handler = with_page("s3cret");
    EXPECT_EQ(ask(handler, {.target = "/live", .host = "localhost"}).status, 401);
    EXPECT_EQ(
        ask(handler,
            {.target = "/live", .host = "localhost", .headers = {{"Authorization", "Bearer s3creT"}}
            }
        ).status,
        401
    );
    EXPECT_EQ(
        ask(handler,
            {.target = "/live",
             .host = "mesh.example",
             .headers = {{"Authorization", "Bearer s3cret"}}}
        ).status,
        200
    );
}

}  // namespace
}  // namespace datapunk::mesh::admin
