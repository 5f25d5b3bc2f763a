#include "resilience/adaptive_throttle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "core/rng.h"

namespace datapunk::mesh::resilience {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::uint64_t test_seed() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20260106;
}

constexpr Instant kStart = Instant{} + hours(5);

// A caller with a throttle; what becomes of a call is known at once.
struct Client {
    explicit Client(const ThrottleConfig& config = {.enabled = true}) : throttle(config) {}

    // Whether it was sent.
    bool call(core::Rng& rng, bool is_accepted, Instant now) {
        if (now >= next) {
            share = throttle.update(totals, now);
            next = now + throttle.slice();
        }
        if (share > 0 && rng.chance(share)) {
            ++totals.refused;
            return false;
        }
        ++totals.begun;
        ++totals.ended;
        if (!is_accepted) ++totals.overloaded;
        return true;
    }

    AdaptiveThrottle throttle;
    AdaptiveThrottle::Totals totals;
    double share = 0;
    Instant next = Instant::min();
};

// Works off 100 units a second. An answer costs one of them, to refuse a call a fifth.
class OverloadedServer {
  public:
    bool accepts(Instant now) {
        const std::chrono::duration<double> passed = now - last_;
        last_ = now;
        room_ = std::min(5.0, room_ + 100 * passed.count());
        const bool accepted = room_ >= 1;
        room_ -= accepted ? 1 : 0.2;
        return accepted;
    }

  private:
    Instant last_ = kStart;
    double room_ = 0;
};

struct Flow {
    int sent = 0;
    int accepted = 0;
};

// `per_second` calls a second for so long.
Flow flow(
    Client* client,
    OverloadedServer& server,
    int per_second,
    Duration time,
    Instant& now,
    core::Rng& rng
) {
    Flow out;
    const Duration gap = Duration(seconds(1)) / per_second;
    for (const Instant end = now + time; now < end; now += gap) {
        if (client != nullptr && !client->call(rng, true, now)) continue;
        ++out.sent;
        const bool accepted = server.accepts(now);
        out.accepted += accepted ? 1 : 0;
        if (client != nullptr && !accepted) ++client->totals.overloaded;
    }
    return out;
}

TEST(AdaptiveThrottle, AnOverloadedServiceGetsTwiceWhatItCanTakeAndWorksInsteadOfRefusing) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    Instant now = kStart;
    OverloadedServer bare_server;
    flow(nullptr, bare_server, 1000, seconds(60), now, rng);
    const Flow bare = flow(nullptr, bare_server, 1000, seconds(60), now, rng);
    EXPECT_EQ(bare.accepted, 0) << "it does nothing but refuse";

    Client client;
    OverloadedServer server;
    now = kStart;
    flow(&client, server, 80, seconds(60), now, rng);
    EXPECT_EQ(client.totals.refused, 0U) << "below what it can take nothing is refused";
    flow(&client, server, 1000, seconds(60), now, rng);
    const Flow throttled = flow(&client, server, 1000, seconds(60), now, rng);
    // accepted + (sent - accepted) / 5 = 100 a second, sent = 2 x accepted: 83 of 167.
    EXPECT_NEAR(throttled.accepted / 60.0, 83, 8);
    EXPECT_NEAR(throttled.sent / 60.0, 167, 20);

    // The overload ends: within two windows nothing is refused any more.
    flow(&client, server, 80, seconds(60), now, rng);
    const Flow after = flow(&client, server, 80, seconds(10), now, rng);
    EXPECT_EQ(after.sent, 800);
    EXPECT_EQ(client.share, 0);
}

TEST(AdaptiveThrottle, ALowerMultiplierRefusesMoreHere) {
    core::Rng rng(1);
    for (const auto& [multiplier, share] : {std::pair{2.0, 0.6}, {1.1, 0.78}, {4.0, 0.2}}) {
        Client client({.enabled = true, .multiplier = multiplier});
        Instant now = kStart;
        // Of what is offered a fifth could be accepted.
        for (int i = 0; i < 120'000; ++i, now += milliseconds(1)) {
            client.call(rng, rng.chance(0.2 / (1 - client.share)), now);
        }
        EXPECT_NEAR(client.share, share, 0.03) << multiplier;
    }
}

// Counting only what is sent, the share would fall as soon as it had risen.
TEST(AdaptiveThrottle, TrapRefusedCallsCountAsCalls) {
    core::Rng rng(1);
    Client client({.enabled = true, .window = seconds(4)});
    Instant now = kStart;
    double lowest = 1;
    double highest = 0;
    for (int i = 0; i < 60'000; ++i, now += milliseconds(1)) {
        client.call(rng, rng.chance(std::min(1.0, 0.2 / (1 - client.share))), now);
        if (i < 20'000) continue;
        lowest = std::min(lowest, client.share);
        highest = std::max(highest, client.share);
    }
    EXPECT_GT(lowest, 0.5);
    EXPECT_LT(highest, 0.7);
}

TEST(AdaptiveThrottle, TrapItNeverStopsProbing) {
    core::Rng rng(1);
    Client client;
    Instant now = kStart;
    int sent = 0;
    for (int i = 0; i < 100'000; ++i, now += milliseconds(1)) {
        if (client.call(rng, false, now) && i >= 50'000) ++sent;
        ASSERT_LE(client.share, 0.9);
    }
    EXPECT_NEAR(sent, 5000, 300) << "a tenth";
    for (int i = 0; i < 60'000; ++i, now += milliseconds(1)) client.call(rng, true, now);
    EXPECT_EQ(client.share, 0) << "and so it finds out";
}

TEST(AdaptiveThrottle, TrapFewCallsSayNothing) {
    core::Rng rng(1);
    Client client({.enabled = true, .min_calls = 100});
    Instant now = kStart;
    for (int i = 0; i < 1000; ++i, now += milliseconds(310)) {  // 97 in 30 s
        ASSERT_TRUE(client.call(rng, false, now));
    }
    for (int i = 0; i < 1000; ++i, now += milliseconds(280)) client.call(rng, false, now);
    EXPECT_GT(client.share, 0.8);
}

// go-zero #5011: calls that hang end after the window has forgotten their beginning.
TEST(AdaptiveThrottle, TrapCallsThatHangLongerThanTheWindowAreNoticed) {
    AdaptiveThrottle throttle({.enabled = true, .window = seconds(10)});
    AdaptiveThrottle::Totals totals;
    Instant now = kStart;
    double share = 0;
    for (int i = 0; i < 60; ++i, now += milliseconds(500)) {  // well for half a minute
        totals.begun = totals.ended += 50;
        share = throttle.update(totals, now);
    }
    EXPECT_EQ(share, 0);
    for (int i = 0; i < 40; ++i, now += milliseconds(500)) {  // then nothing ends any more
        totals.begun += 50;
        share = throttle.update(totals, now);
    }
    EXPECT_GT(share, 0.8);
}

// Counting calls at their beginning, the first calls of a service that takes seconds to answer
// would look like calls that nobody accepts.
TEST(AdaptiveThrottle, TrapASlowServiceIsNotOverloadedWhenItStarts) {
    AdaptiveThrottle throttle({.enabled = true});
    AdaptiveThrottle::Totals totals;
    Instant now = kStart;
    for (int second = 0; second < 120; ++second, now += seconds(1)) {
        totals.begun += 100;
        if (second >= 12) totals.ended += 100;  // after twelve seconds
        ASSERT_EQ(throttle.update(totals, now), 0) << second;
    }
}

// Who begins many calls and gives them up has none of them out: they do not hang.
TEST(AdaptiveThrottle, TrapCallsThatWereGivenUpDoNotHang) {
    AdaptiveThrottle throttle({.enabled = true, .window = seconds(30)});
    AdaptiveThrottle::Totals totals;
    Instant now = kStart;
    for (int second = 0; second < 60; ++second, now += seconds(1)) {
        if (second == 14) totals.begun += 400;
        if (second == 16) totals.ended = totals.cancelled = 400;
        ASSERT_EQ(throttle.update(totals, now), 0) << second;
    }
}

TEST(AdaptiveThrottle, TrapABugOverThereIsNoOverload) {
    using std::nullopt;
    EXPECT_FALSE(tells_overload(Outcome::server_error, 500, nullopt));
    EXPECT_FALSE(tells_overload(Outcome::connect_failure, 0, nullopt));
    EXPECT_FALSE(tells_overload(Outcome::reset, 0, nullopt));
    EXPECT_FALSE(tells_overload(Outcome::success, 200, nullopt));
    EXPECT_FALSE(tells_overload(Outcome::server_error, 200, 13));
    EXPECT_FALSE(tells_overload(Outcome::success, 503, 0)) << "gRPC says that all is well";
    EXPECT_TRUE(tells_overload(Outcome::server_error, 503, nullopt));
    EXPECT_TRUE(tells_overload(Outcome::success, 429, nullopt));
    EXPECT_TRUE(tells_overload(Outcome::success, 200, 8));
    EXPECT_TRUE(tells_overload(Outcome::server_error, 200, 14));
    EXPECT_TRUE(tells_overload(Outcome::timeout, 0, nullopt));
    EXPECT_TRUE(tells_overload(Outcome::refused_stream, 0, nullopt));
}

// Of any totals that only grow, and any clock.
TEST(AdaptiveThrottle, TheShareIsInItsBoundsAndZeroWhileEnoughIsAccepted) {
    const std::uint64_t seed = test_seed();
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    core::Rng rng(seed);
    for (int round = 0; round < 100; ++round) {
        AdaptiveThrottle throttle(
            {.enabled = true, .window = seconds(1 + static_cast<int>(rng.below(60))), .min_calls = 1
            }
        );
        const bool is_well = rng.chance(0.5);
        AdaptiveThrottle::Totals totals;
        Instant now = kStart;
        for (int i = 0; i < 300; ++i) {
            const std::uint64_t ended = rng.below(100);
            totals.begun += ended;
            totals.ended += ended;
            totals.overloaded += is_well ? ended / 2 : rng.below(ended + 1);
            if (!is_well) totals.refused += rng.below(50);
            now += milliseconds(rng.below(rng.chance(0.01) ? 100'000 : 2000));
            const double share = throttle.update(totals, now);
            ASSERT_GE(share, 0);
            ASSERT_LE(share, 0.9);
            if (is_well) {
                ASSERT_EQ(share, 0);
            }
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::resilience
