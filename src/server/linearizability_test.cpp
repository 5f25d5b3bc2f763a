// Reads, writes, compare-and-set and deletes by several clients at once, over a slow and failing
// disk and crashes at any moment: their history is linearisable, and no index ever goes back.
// SEED= replays a run.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/strings.h"
#include "server/test_linearizability.h"
#include "server/test_server.h"
#include "store/memory_log.h"

namespace datapunk::mesh::server {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using Kind = HistoryCall::Kind;

HistoryCall call(Kind kind, Value value, std::uint64_t began, std::uint64_t ended) {
    return {
        .kind = kind, .expected = {}, .value = std::move(value), .began = began, .ended = ended
    };
}

bool holds(std::vector<HistoryCall> calls) {
    return LinearizabilityCheck(std::move(calls)).holds();
}

TEST(LinearizabilityCheck, KnowsGoodFromBad) {
    const HistoryCall a = call(Kind::write, "a", 1, 4);
    EXPECT_TRUE(holds({a, call(Kind::read, "a", 2, 3)}));
    EXPECT_TRUE(holds({a, call(Kind::read, std::nullopt, 2, 3)}));
    EXPECT_TRUE(holds({a, call(Kind::read, "a", 5, 6)}));
    EXPECT_FALSE(holds({a, call(Kind::read, std::nullopt, 5, 6)})) << "a lost write";
    EXPECT_FALSE(holds({a, call(Kind::read, "b", 5, 6)})) << "from nowhere";
    EXPECT_FALSE(holds({a, call(Kind::read, "a", 2, 3), call(Kind::read, std::nullopt, 5, 6)}))
        << "taken back";
    EXPECT_FALSE(holds(
        {a, call(Kind::write, "b", 5, 6), call(Kind::read, "b", 7, 8), call(Kind::read, "a", 9, 10)}
    )) << "backwards";
    EXPECT_FALSE(holds({a, call(Kind::erase, {}, 5, 6), call(Kind::read, "a", 7, 8)}));
}

TEST(LinearizabilityCheck, WhatWasNeverAnsweredMayHaveHappenedOrNot) {
    const HistoryCall lost = call(Kind::write, "a", 1, HistoryCall::kNoAnswer);
    EXPECT_TRUE(holds({lost, call(Kind::read, std::nullopt, 2, 3)}));
    EXPECT_TRUE(holds({lost, call(Kind::read, "a", 2, 3)}));
    EXPECT_TRUE(holds({lost, call(Kind::read, std::nullopt, 2, 3), call(Kind::read, "a", 4, 5)}));
    EXPECT_FALSE(holds({lost, call(Kind::read, "a", 2, 3), call(Kind::read, std::nullopt, 4, 5)}));
}

TEST(LinearizabilityCheck, OnlyOneOfTwoCanHaveChangedTheSameVersion) {
    HistoryCall one = call(Kind::cas, "x", 3, 6);
    HistoryCall two = call(Kind::cas, "y", 4, 7);
    one.expected = two.expected = "a";
    const HistoryCall first = call(Kind::write, "a", 1, 2);
    EXPECT_FALSE(holds({first, one, two}));
    two.succeeded = false;
    EXPECT_TRUE(holds({first, one, two}));
    one.succeeded = false;
    EXPECT_FALSE(holds({first, one, two})) << "one of them must have";
}

class Linearizability : public testing::TestWithParam<int> {
  public:
    struct Key {
        std::vector<HistoryCall> calls;
        // What the index was at least, for calls that begin after this moment.
        std::vector<std::pair<std::uint64_t, std::uint64_t>> indexes;  // ended, index
    };

    void boot() {
        ++boots_;
        const store::MemoryFaults faults{.seed = rng_(), .write_error = 0.03};
        auto log = std::make_unique<store::MemoryLog>(disk_, faults);
        log_ = log.get();
        registry::embedded::EmbeddedConfig config = test_registry_config();
        config.snapshot_after_entries = 15;
        auto opened = registry::embedded::EmbeddedRegistry::open(
            loop_, std::move(log), config, core::Logger()
        );
        ASSERT_TRUE(opened) << opened.error().what;
        registry_ = *std::move(opened);
        ASSERT_GE(registry_->catalog().index(), index_);
        server_ = std::make_unique<RegistryServer>(*registry_, RegistryServerConfig{});
        clients_ = std::make_unique<io::TaskGroup>();
        for (int i = 0; i < 5; ++i) clients_->spawn(client(this, rng_()));
    }

    // What was on the disk is all that survives; no answer is on its way any more.
    void crash() {
        clients_.reset();
        const store::MemoryDisk frozen = *disk_;
        if (registry_->catalog().index() > index_) index_ = registry_->catalog().index();
        server_.reset();
        registry_.reset();
        *disk_ = frozen;
    }

    // Where a call happens, and what it saw.
    struct Seen {
        Value value;
        std::uint64_t version = 0;  // ModifyIndex
    };

    static io::Task<void> client(Linearizability* self, std::uint64_t seed) {
        core::Rng rng(seed);
        std::map<std::string, Seen> seen;
        while (true) {
            const std::string key = fmt::format("k{}", rng.below(3));
            const auto pause = Duration(rng.below(20'000'000));
            co_await io::sleep_for(self->loop_, pause);
            if (self->history_[key].calls.size() >= kCallsMax) continue;
            co_await one_call(self, &rng, key, &seen[key]);
        }
    }

    static io::Task<void> one_call(
        Linearizability* self, core::Rng* rng, std::string key, Seen* seen
    ) {
        Key& history = self->history_[key];
        const std::size_t at = history.calls.size();
        const std::uint64_t kind = rng->below(10);
        HistoryCall call;
        http::Request request{.method = "PUT", .target = "/v1/kv/" + key};
        const std::string fresh = fmt::format("v{}", ++self->values_);
        if (kind < 4) {
            request.method = "GET";
        } else if (kind < 6) {
            call.kind = Kind::write;
        } else if (kind < 9) {
            call.kind = Kind::cas;
            call.expected = seen->value;
            request.target += fmt::format("?cas={}", seen->value ? seen->version : 0);
        } else {
            call.kind = Kind::erase;
            request.method = "DELETE";
        }
        if (call.kind == Kind::write || call.kind == Kind::cas) {
            call.value = fresh;
            request.body = fresh;
        }
        call.began = ++self->moments_;
        history.calls.push_back(call);
        co_await io::sleep_for(self->loop_, Duration(rng->below(5'000'000)));
        http::Response response = co_await self->server_->handle(std::move(request));
        co_await io::sleep_for(self->loop_, Duration(rng->below(5'000'000)));
        self->note(history, at, as_received(std::move(response)), *seen);
    }

    void note(Key& history, std::size_t at, const http::Response& response, Seen& seen) {
        HistoryCall& call = history.calls[at];
        const std::uint64_t now = ++moments_;
        if (response.status == 500) {
            // "May still happen" leaves it open; a write that failed has not happened, and will
            // not.
            if (response.body.find("cannot write") == std::string::npos) return;
            ++failed_;
            call.kind = Kind::read;
            return;  // a read without an answer says nothing
        }
        call.ended = now;
        if (call.kind == Kind::cas) call.succeeded = response.body == "true";
        if (call.kind != Kind::read) return;
        if (response.status == 200) {
            const Json row = Json::parse(response.body).at(0);
            call.value = core::base64_decode(row.at("Value").get<std::string>());
            seen = {call.value, row.at("ModifyIndex").get<std::uint64_t>()};
        } else {
            seen = {};
        }
        const std::uint64_t index = std::stoull(std::string(response.header("X-Consul-Index")));
        for (const auto& [ended, before] : history.indexes) {
            if (ended < call.began) {
                EXPECT_GE(index, before);
            }
        }
        history.indexes.emplace_back(now, index);
    }

    static constexpr std::size_t kCallsMax = 120;  // a key

    std::uint64_t seed_ = sim::seed_for_test(7) + static_cast<std::uint64_t>(GetParam());
    core::Rng rng_{seed_};
    sim::SimLoop loop_{seed_};
    std::shared_ptr<store::MemoryDisk> disk_ = std::make_shared<store::MemoryDisk>();
    store::MemoryLog* log_ = nullptr;
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    std::unique_ptr<RegistryServer> server_;
    std::unique_ptr<io::TaskGroup> clients_;
    std::map<std::string, Key> history_;
    std::uint64_t moments_ = 0;
    std::uint64_t values_ = 0;
    std::uint64_t index_ = 0;
    int boots_ = 0;
    int failed_ = 0;
};

TEST_P(Linearizability, HoldsOverFailingDisksAndCrashes) {
    SCOPED_TRACE(sim::seed_hint(seed_ - static_cast<std::uint64_t>(GetParam())));
    boot();
    for (int step = 0; step < 3000 && !HasFatalFailure(); ++step) {
        loop_.run_for(Duration(rng_.below(4'000'000)));
        if (rng_.chance(0.4)) log_->run();
        if (rng_.chance(0.01)) {
            crash();
            boot();
        }
    }
    std::size_t answered = 0;
    std::size_t swapped = 0;
    for (auto& [key, history] : history_) {
        for (const HistoryCall& call : history.calls) {
            answered += call.is_answered() ? 1 : 0;
            swapped += call.kind == Kind::cas && call.is_answered() && call.succeeded ? 1 : 0;
        }
        EXPECT_TRUE(LinearizabilityCheck(history.calls).holds()) << key;
    }
    EXPECT_GT(answered, kCallsMax * 3 / 2);
    EXPECT_GT(swapped, 5U);
    EXPECT_GT(boots_, 3);
    crash();
}

INSTANTIATE_TEST_SUITE_P(Seeds, Linearizability, testing::Range(0, 20));

}  // namespace
}  // namespace datapunk::mesh::server
