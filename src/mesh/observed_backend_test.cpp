// What a mesh measures of its registry.

#include "mesh/observed_backend.h"

#include <gtest/gtest.h>

#include "discovery/fake_registry.h"
#include "metrics/names.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;
using discovery::FakeRegistry;
namespace names = metrics::names;

class ObservedBackendTest : public testing::Test {
  public:
    ObservedBackendTest() {
        auto made = std::make_unique<FakeRegistry>(loop);
        registry = made.get();
        registry->put({.id = "a", .service = "api", .host = "10.0.0.1", .port = 80});
        backend.emplace(loop, std::move(made), metrics);
    }

    std::uint64_t ask(std::uint64_t after, Duration longest) {
        const auto answer =
            *sim::run_on(loop, backend->wait("api", after, longest, loop.now() + 20s));
        return answer ? answer->index : 0;
    }

    // Of the series with this operation.
    std::uint64_t timed(std::string_view operation) {
        const metrics::MetricsSnapshot snapshot = metrics.snapshot();
        const auto* family = snapshot.find(names::kRegistryRequestDuration);
        if (family == nullptr) return 0;
        for (const metrics::SeriesSnapshot& one : family->series) {
            if (one.labels.at(1) != operation) continue;
            return std::get<metrics::HistogramCounts>(one.value).count();
        }
        return 0;
    }

    sim::SimLoop loop{sim::seed_for_test(1)};
    metrics::MetricRegistry metrics;
    FakeRegistry* registry = nullptr;
    std::optional<ObservedBackend> backend;
};

TEST_F(ObservedBackendTest, AFirstLookUpIsTimedAndALongPollIsNot) {
    const std::uint64_t index = ask(0, 0s);
    ASSERT_GT(index, 0U);
    EXPECT_EQ(timed("discover"), 1U);
    EXPECT_EQ(ask(index, 10s), index);
    EXPECT_EQ(timed("discover"), 1U);
    EXPECT_EQ(timed("wait"), 0U);
    EXPECT_TRUE(backend->readiness());
}

TEST_F(ObservedBackendTest, FailuresAreCountedByWhatWasAsked) {
    registry->set_down(true);
    EXPECT_EQ(ask(0, 0s), 0U);
    EXPECT_EQ(ask(7, 10s), 0U);
    EXPECT_EQ(timed("discover"), 0U);
    const metrics::MetricsSnapshot snapshot = metrics.snapshot();
    const auto* failures = snapshot.find(names::kRegistryRequestFailures);
    ASSERT_NE(failures, nullptr);
    EXPECT_EQ(failures->total(), 2);
    EXPECT_EQ(failures->series.size(), 2U);
    EXPECT_FALSE(backend->readiness());
}

}  // namespace
}  // namespace datapunk::mesh::internal
