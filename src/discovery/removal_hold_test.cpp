#include "discovery/removal_hold.h"

#include <gmock/gmock.h>

#include "core/rng.h"

namespace datapunk::mesh::discovery {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<ServiceEndpoint> set_of(std::string_view ids) {
    std::vector<ServiceEndpoint> out;
    for (const char id : ids) {
        out.push_back({.id = std::string(1, id), .service = "s", .host = "h", .port = 1});
    }
    return out;
}

class RemovalHoldTest : public testing::Test {
  public:
    // An answer comes; what is believed now?
    std::string answer(std::string_view ids, Duration at) {
        current = hold.settle(current, set_of(ids), Instant(at));
        std::string out;
        for (const ServiceEndpoint& endpoint : current) out += endpoint.id;
        return out;
    }

    RemovalHold hold{0.5, 3s};
    std::vector<ServiceEndpoint> current;
};

TEST_F(RemovalHoldTest, BelievesAdditionsAndSmallRemovalsAtOnce) {
    EXPECT_EQ(answer("abcd", 0s), "abcd");
    EXPECT_EQ(answer("abcde", 1s), "abcde");
    EXPECT_EQ(answer("bcde", 2s), "bcde");
    EXPECT_EQ(answer("de", 3s), "de");  // exactly half
    EXPECT_FALSE(hold.confirm_at());
}

TEST_F(RemovalHoldTest, HoldsBackMoreThanHalfUntilConfirmed) {
    answer("abcde", 0s);
    EXPECT_EQ(answer("ab", 1s), "abcde");
    EXPECT_EQ(hold.confirm_at(), Instant(4s));
    EXPECT_EQ(answer("ab", 4s - 1ns), "abcde");
    EXPECT_EQ(hold.confirm_at(), Instant(4s));  // not put off by being asked
    EXPECT_EQ(answer("ab", 4s), "ab");
    EXPECT_FALSE(hold.confirm_at());
}

TEST_F(RemovalHoldTest, HoldsBackAnEmptyAnswerEvenForOne) {
    answer("a", 0s);
    EXPECT_EQ(answer("", 1s), "a");
    EXPECT_EQ(answer("", 4s), "");
}

TEST_F(RemovalHoldTest, AdditionsCountWhileRemovalsAreHeld) {
    answer("abc", 0s);
    EXPECT_EQ(answer("x", 1s), "abcx");
    EXPECT_EQ(answer("xy", 2s), "abcxy");
    EXPECT_EQ(answer("xy", 4s), "xy");
}

TEST_F(RemovalHoldTest, WhatIsSeenAgainIsHeldNoLonger) {
    answer("abc", 0s);
    answer("", 1s);
    EXPECT_EQ(answer("ab", 2s), "abc");
    EXPECT_EQ(hold.held(), 1U);
    EXPECT_EQ(answer("b", 4s), "ab");  // c is confirmed; a makes it two of three again
    EXPECT_EQ(answer("b", 7s), "b");
}

TEST_F(RemovalHoldTest, OneByOneEachHasItsOwnGrace) {
    answer("abcde", 0s);
    answer("ab", 1s);                     // c d e held until 4 s
    EXPECT_EQ(answer("a", 2s), "abcde");  // b held until 5 s
    EXPECT_EQ(answer("a", 4s), "ab");
    EXPECT_EQ(answer("a", 5s), "a");
}

TEST_F(RemovalHoldTest, OurOwnRemovalsNeedNoConfirmation) {
    answer("ab", 0s);
    hold.expect_removal("a", Instant(1s));
    hold.expect_removal("b", Instant(1s));
    EXPECT_EQ(answer("", 2s), "");
}

TEST_F(RemovalHoldTest, AnExpectedRemovalThatDoesNotComeIsForgotten) {
    answer("a", 0s);
    hold.expect_removal("a", Instant(0s));
    EXPECT_EQ(answer("a", 59s), "a");
    EXPECT_EQ(answer("", 60s), "a");
}

TEST_F(RemovalHoldTest, ADistrustedSourceHasEveryRemovalConfirmed) {
    answer("abcd", 0s);
    hold.distrust_until(Instant(30s));
    EXPECT_EQ(answer("abc", 1s), "abcd");
    EXPECT_EQ(hold.confirm_at(), Instant(30s));
    EXPECT_EQ(answer("abc", 29s), "abcd");
    EXPECT_EQ(answer("abc", 30s), "abc");
    EXPECT_EQ(answer("ab", 31s), "ab");
}

TEST_F(RemovalHoldTest, DistrustThatComesAgainDoesNotHoldForEver) {
    answer("abcd", 0s);
    hold.distrust_until(Instant(30s));
    answer("abc", 1s);
    for (int second = 2; second < 30; ++second) {
        hold.distrust_until(Instant(std::chrono::seconds(second) + 30s));
        EXPECT_EQ(answer("abc", std::chrono::seconds(second)), "abcd");
    }
    EXPECT_EQ(answer("abc", 30s), "abc");
}

TEST_F(RemovalHoldTest, AfterAFailureItHasToBeSaidTwiceAgain) {
    answer("abcd", 0s);
    answer("", 1s);
    hold.start_over();
    EXPECT_EQ(answer("", 3600s), "abcd");
    EXPECT_EQ(answer("", 3603s), "");
}

TEST_F(RemovalHoldTest, NoGraceBelievesEverything) {
    hold = RemovalHold(0.5, 0s);
    answer("abcd", 0s);
    EXPECT_EQ(answer("", 1s), "");
    answer("ab", 2s);
    hold.distrust_until(Instant(10s));
    EXPECT_EQ(answer("", 3s), "ab");  // unless it was away
}

// A patch's removals are believed exactly when those of the whole answer were.
TEST_F(RemovalHoldTest, LetsGoWhatAWholeAnswerWouldTakeAway) {
    core::Rng rng(20261122);
    int gone = 0;
    int kept = 0;
    for (int round = 0; round < 20'000; ++round) {
        RemovalHold whole(0.5, rng.chance(0.9) ? 3s : 0s);
        Instant now(1min);
        if (rng.chance(0.1)) whole.distrust_until(now + 1s);
        const std::string_view all = std::string_view("abcdefgh").substr(rng.below(8));
        std::string fresh;
        std::vector<ServiceEndpoint> removed;
        for (const char id : all) {
            if (rng.chance(0.6)) {
                fresh += id;
                continue;
            }
            removed.push_back(set_of(std::string_view(&id, 1)).front());
            if (rng.chance(0.3)) whole.expect_removal(std::string(1, id), now);
        }
        if (rng.chance(0.1)) whole.expect_removal("z", now);
        RemovalHold patched = whole;
        const auto believed = whole.settle(set_of(all), set_of(fresh), now);
        const bool is_gone = patched.lets_go(removed, all.size(), fresh.size(), now);
        ASSERT_EQ(is_gone, believed.size() == fresh.size()) << all << " to " << fresh;
        if (is_gone) {
            EXPECT_EQ(patched.is_idle(), whole.is_idle());
        }
        ++(is_gone ? gone : kept);
    }
    EXPECT_GT(gone, 1000);
    EXPECT_GT(kept, 1000);
}

}  // namespace
}  // namespace datapunk::mesh::discovery
