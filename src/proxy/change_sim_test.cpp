// A change of configuration while requests are under way, as one worker does it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/raw_world_test.h"

namespace datapunk::mesh::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";

std::shared_ptr<const routing::RouteTable> only(const std::string& service) {
    return std::make_shared<const routing::RouteTable>(
        *routing::RouteTable::create({{.name = "to-" + service, .service = service}})
    );
}

struct ChangeWorld : RawWorld {
    ChangeWorld() : RawWorld(kOneAttempt) {}

    // While `during` happens after `when`.
    RawAnswer ask_while(std::string bytes, Duration when, std::function<void()> during) {
        io::TaskGroup beside;
        beside.spawn(after(when, std::move(during)));
        return ask({std::move(bytes)});
    }

    io::Task<void> after(Duration when, std::function<void()> what) {
        co_await io::sleep_for(world.loop(), when);
        what();
    }

    ListenerConfig listener(std::string name, std::uint16_t port) {
        return {.name = std::move(name), .address = "10.0.0.2", .port = port};
    }

    ProxyChange remove(std::string name, Duration drain) {
        return {
            .routes = routes, .removed = {std::move(name)}, .cut_at = world.loop().now() + drain
        };
    }

    bool can_connect(std::uint16_t port) {
        auto tried = sim::run_on(
            world.loop(),
            world.host("10.0.0.1").connect(*io::parse_ip("10.0.0.2", port), kNever),
            seconds(5)
        );
        return tried && *tried;
    }
};

TEST(ProxyChange, ARequestKeepsTheRouteThatItBeganWith) {
    ChangeWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = milliseconds(100)}; };
    const auto changed =
        w.ask_while(kGet, milliseconds(50), [&] { w.proxy.apply({.routes = only("elsewhere")}); });
    EXPECT_THAT(changed.bytes, EndsWith("ok"));
    EXPECT_THAT(w.get().bytes, HasSubstr("x-mesh-reason: unknown_service"));
    w.proxy.apply({.routes = w.routes});
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
}

TEST(ProxyChange, AServiceThatIsUnlistedIsFoundNoMoreAndComesBackAsItWas) {
    ChangeWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    w.services.list("api", false);
    EXPECT_THAT(w.get().bytes, HasSubstr("x-mesh-reason: unknown_service"));
    EXPECT_EQ(w.services.find_any("api"), &w.api);
    w.services.list("api", true);
    EXPECT_THAT(w.get().bytes, EndsWith("ok"));
    EXPECT_EQ(w.api.totals().calls, 2U);
}

TEST(ProxyChange, APreparedListenerTakesNobodyUntilItIsApplied) {
    ChangeWorld w;
    ASSERT_TRUE(w.proxy.prepare(w.listener("more", 9100), {}));
    w.proxy.abandon_prepared();
    EXPECT_FALSE(w.can_connect(9100));
    ASSERT_TRUE(w.proxy.prepare(w.listener("more", 9100), {}));
    EXPECT_TRUE(w.can_connect(9100));
    EXPECT_EQ(w.proxy.connections(), 0U);
    w.proxy.apply({.routes = w.routes});
    w.world.loop().run_for(seconds(1));
    EXPECT_EQ(w.proxy.connections(), 0U) << "who was waiting has left";
    EXPECT_TRUE(w.can_connect(9100));
}

TEST(ProxyChange, ARemovedListenerFinishesWhatIsUnderWay) {
    ChangeWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = milliseconds(100)}; };
    const auto answer =
        w.ask_while(kGet, milliseconds(50), [&] { w.proxy.apply(w.remove("in", seconds(30))); });
    EXPECT_THAT(answer.bytes, EndsWith("ok"));
    EXPECT_THAT(answer.bytes, HasSubstr("onnection: close"));
    EXPECT_TRUE(answer.closed);
    EXPECT_FALSE(w.can_connect(9000));
    w.world.loop().run_for(seconds(3));
    EXPECT_EQ(w.proxy.connections(), 0U);
}

TEST(ProxyChange, WhatIsLeftOfARemovedListenerIsCutInTheEnd) {
    ChangeWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk, .delay = seconds(10)}; };
    const auto answer =
        w.ask_while(kGet, milliseconds(50), [&] { w.proxy.apply(w.remove("in", seconds(2))); });
    EXPECT_TRUE(answer.reset);
    w.world.loop().run_for(seconds(3));
    EXPECT_EQ(w.proxy.connections(), 0U);
}

TEST(ProxyChange, LimitsOfAListenerThatStaysApplyToItsOldConnectionsToo) {
    ChangeWorld w;
    w.a.script = [](int) -> Script { return {.bytes = kOk}; };
    ListenerConfig smaller = w.listener("in", 9000);
    smaller.body_bytes_max = 3;
    const auto both = w.ask_while(kGet, milliseconds(50), [&] {
        w.proxy.apply({.routes = w.routes, .changed = {smaller}});
    });
    EXPECT_THAT(both.bytes, EndsWith("ok"));
    const auto refused = w.ask({"POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 4\r\n\r\nbody"});
    EXPECT_THAT(refused.bytes, HasSubstr(" 413 "));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
