#include "balance/custom.h"

#include <gtest/gtest.h>

#include <deque>
#include <stdexcept>

#include "balance/balancer.h"
#include "balance/test_fleet.h"

namespace datapunk::mesh::balance {
namespace {

// The example of docs/policies.md: the cheapest endpoint that is not too busy.
class CheapestFirst final : public CustomBalancer {
  public:
    std::optional<std::size_t> pick(const PickCandidates& candidates, const PickRequest& request)
        const override {
        (void)request;
        std::optional<std::size_t> best;
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            if (candidates.is_excluded(i) || candidates.in_flight(i) >= 100) continue;
            if (!best || price(candidates, i) < price(candidates, *best)) best = i;
        }
        return best;
    }

  private:
    static int price(const PickCandidates& candidates, std::size_t i) {
        return std::atoi(std::string(candidates.endpoint(i).meta("price")).c_str());
    }
};

// Answers whatever it is told to.
class Answers final : public CustomBalancer {
  public:
    explicit Answers(std::optional<std::size_t> answer, bool throws = false)
        : answer_(answer), throws_(throws) {}

    std::optional<std::size_t> pick(const PickCandidates& candidates, const PickRequest&)
        const override {
        if (throws_) throw std::runtime_error("no idea");
        size = candidates.size();
        return answer_;
    }

    mutable std::size_t size = 0;

  private:
    std::optional<std::size_t> answer_;
    bool throws_;
};

class CustomBalancing : public testing::Test {
  protected:
    CustomBalancing() : fleet_(4) {
        for (const char* price : {"7", "3", "5", "4"}) {
            endpoints_.push_back({.id = price, .metadata = {{"price", price}}});
        }
        candidates_ = fleet_.candidates();
        for (std::size_t i = 0; i < 4; ++i) candidates_[i].endpoint = &endpoints_[i];
    }

    std::optional<std::uint32_t> pick(std::shared_ptr<const CustomBalancer> algorithm) {
        PickState state(1);
        return Balancer(CustomBalance{std::move(algorithm)}, candidates_)
            .pick({.now = at_ms(1)}, state);
    }

    TestFleet fleet_;
    std::deque<ServiceEndpoint> endpoints_;
    std::vector<Candidate> candidates_;
};

TEST_F(CustomBalancing, DecidesByWhatItSeesOfTheEndpoints) {
    const auto cheapest = std::make_shared<CheapestFirst>();
    EXPECT_EQ(pick(cheapest), 1U);
    fleet_.exclude(1);
    EXPECT_EQ(pick(cheapest), 3U);
    fleet_[3].in_flight = 100;
    EXPECT_EQ(pick(cheapest), 2U);
}

TEST_F(CustomBalancing, CannotChooseWhomItMustNot) {
    fleet_.exclude(2);
    for (const auto& answer :
         {std::make_shared<Answers>(std::optional<std::size_t>(2)),
          std::make_shared<Answers>(std::optional<std::size_t>(4)),
          std::make_shared<Answers>(std::optional<std::size_t>(~std::size_t{0})),
          std::make_shared<Answers>(std::nullopt),
          std::make_shared<Answers>(std::nullopt, true)}) {
        const auto picked = pick(answer);
        ASSERT_TRUE(picked);
        EXPECT_NE(*picked, 2U);
    }
    for (std::size_t i = 0; i < 4; ++i) fleet_.exclude(i);
    EXPECT_FALSE(pick(std::make_shared<Answers>(std::optional<std::size_t>(0))));
}

TEST_F(CustomBalancing, SeesLatencyAndLoad) {
    class Looks final : public CustomBalancer {
      public:
        std::optional<std::size_t> pick(const PickCandidates& c, const PickRequest& request)
            const override {
            EXPECT_EQ(c.latency(0), Duration::zero());
            EXPECT_EQ(c.latency(1), std::chrono::milliseconds(8));
            EXPECT_EQ(c.in_flight(1), 3U);
            EXPECT_EQ(c.weight(1), 1U);
            EXPECT_EQ(request.now, at_ms(1));
            return 1;
        }
    };
    fleet_[1].in_flight = 3;
    record_answer(fleet_[1], {}, std::chrono::milliseconds(8), false, at_ms(1));
    EXPECT_EQ(pick(std::make_shared<Looks>()), 1U);
}

}  // namespace
}  // namespace datapunk::mesh::balance
