#include "mesh/delivery.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <stdexcept>

#include "metrics/exposition.h"

namespace datapunk::mesh::internal {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class DeliveryTest : public ::testing::Test {
  protected:
    bool stop(Duration within) { return delivery_.stop(*clock_, clock_->now() + within); }

    std::string metrics_text() {
        return metrics::expose(metrics_.snapshot(), metrics::ExpositionFormat::prometheus);
    }

    metrics::MetricRegistry metrics_;
    std::unique_ptr<io::ThreadClock> clock_ = io::make_thread_clock();
    Delivery delivery_{metrics_, core::Logger()};
};

TEST_F(DeliveryTest, AllThatWasPostedHasRunWhenItHasStopped) {
    std::atomic<int> ran{0};
    for (int i = 0; i < 1000; ++i) delivery_.post([&] { ++ran; });
    EXPECT_TRUE(stop(1min));
    EXPECT_EQ(ran, 1000);
    EXPECT_LE(delivery_.threads(), Delivery::kThreadsMax);
    delivery_.post([&] { ++ran; });
    EXPECT_EQ(ran, 1001) << "in this thread";
}

TEST_F(DeliveryTest, AsManyAsThereAreThreadsMayBlockAndTheNextStillRuns) {
    std::promise<void> go;
    const auto gone = go.get_future().share();
    for (std::size_t i = 0; i + 1 < Delivery::kThreadsMax; ++i) {
        std::promise<void> begun;
        delivery_.post([&] {
            begun.set_value();
            gone.get();
        });
        begun.get_future().get();
    }
    std::promise<void> next;
    delivery_.post([&] { next.set_value(); });
    next.get_future().get();
    EXPECT_EQ(delivery_.threads(), Delivery::kThreadsMax);
    go.set_value();
    EXPECT_TRUE(stop(1min));
}

TEST_F(DeliveryTest, BeyondThatTheyWait) {
    std::promise<void> go;
    const auto gone = go.get_future().share();
    std::atomic<std::size_t> begun{0};
    for (std::size_t i = 0; i < Delivery::kThreadsMax + 2; ++i) {
        delivery_.post([&] {
            ++begun;
            gone.get();
        });
    }
    while (begun < Delivery::kThreadsMax) std::this_thread::yield();
    EXPECT_THAT(metrics_text(), HasSubstr("mesh_callbacks_waiting 2"));
    EXPECT_EQ(delivery_.threads(), Delivery::kThreadsMax);
    go.set_value();
    EXPECT_TRUE(stop(1min));
    EXPECT_EQ(begun, Delivery::kThreadsMax + 2);
    EXPECT_THAT(metrics_text(), HasSubstr("mesh_callbacks_waiting 0"));
}

TEST_F(DeliveryTest, AnExceptionIsCountedAndHurtsNobody) {
    delivery_.post([] { throw std::runtime_error("mine"); });
    delivery_.post([] { throw 7; });
    std::promise<void> next;
    delivery_.post([&] { next.set_value(); });
    next.get_future().get();
    EXPECT_TRUE(stop(1min));
    EXPECT_THAT(metrics_text(), HasSubstr("mesh_watch_callback_errors_total 2"));
}

TEST_F(DeliveryTest, StoppingDoesNotWaitForEverForWhatHangs) {
    auto go = std::make_shared<std::promise<void>>();
    auto begun = std::make_shared<std::promise<void>>();
    auto ended = std::make_shared<std::promise<void>>();
    auto has_ended = ended->get_future();
    {
        Delivery hanging(metrics_, core::Logger());
        hanging.post([go = go->get_future().share(), begun, ended] {
            begun->set_value();
            go.get();
            ended->set_value();
        });
        begun->get_future().get();
        EXPECT_TRUE(!hanging.stop(*clock_, clock_->now() + 10ms));
    }
    go->set_value();
    has_ended.get();
}

TEST_F(DeliveryTest, KnowsItsOwnThreads) {
    std::promise<bool> inside;
    delivery_.post([&] { inside.set_value(delivery_.is_own_thread()); });
    EXPECT_TRUE(inside.get_future().get());
    EXPECT_FALSE(delivery_.is_own_thread());
    EXPECT_TRUE(stop(1min));
}

}  // namespace
}  // namespace datapunk::mesh::internal
