// Callbacks that block, through the public header, on real threads.

#include <datapunk/mesh/mesh.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

namespace datapunk::mesh {
namespace {

ServiceConfig web(int number) {
    ServiceConfig config{
        .name = "web", .id = "web-" + std::to_string(number), .host = "127.0.0.1", .port = 80
    };
    config.check.kind = HealthCheck::Kind::none;
    return config;
}

// What a watch was told, and a way to wait for it.
class Diary {
  public:
    void note(const EndpointChange& change) {
        const std::lock_guard lock(mutex_);
        changes_.push_back(change);
        noted_.notify_all();
    }

    EndpointChange at(std::size_t index) {
        std::unique_lock lock(mutex_);
        noted_.wait(lock, [&] { return changes_.size() > index; });
        return changes_[index];
    }

    void until_size(std::size_t endpoints) {
        std::unique_lock lock(mutex_);
        noted_.wait(lock, [&] {
            return !changes_.empty() && changes_.back().all->endpoints.size() == endpoints;
        });
    }

    std::size_t size() {
        const std::lock_guard lock(mutex_);
        return changes_.size();
    }

  private:
    std::mutex mutex_;
    std::condition_variable noted_;
    std::vector<EndpointChange> changes_;
};

class SlowSubscriber : public ::testing::Test {
  protected:
    // Blocks in its first call until go().
    Watch blocking_watch() {
        auto watch = mesh.watch_service("web", [this](const EndpointChange& change) {
            slow.note(change);
            if (slow.size() == 1) gone.get();
        });
        slow.at(0);  // it blocks now
        return *std::move(watch);
    }

    std::promise<void> go;
    std::shared_future<void> gone = go.get_future().share();
    Diary slow;
    Diary quick;
    ServiceMesh mesh = *ServiceMesh::create({.registry = Embedded{}});
};

TEST_F(SlowSubscriber, HoldsUpNeitherOthersNorCalls) {
    const Watch blocked = blocking_watch();
    const Watch other =
        *mesh.watch_service("web", [this](const EndpointChange& change) { quick.note(change); });
    const auto me = mesh.register_service(web(1));
    ASSERT_TRUE(me) << me.error().what;
    quick.until_size(1);
    EXPECT_EQ((*mesh.discover_service("web", false))->endpoints.size(), 1U);
    const auto called = mesh.call<int>(
        "web", [](const ServiceEndpoint& e, Attempt&) -> Result<int> { return e.port; }
    );
    ASSERT_TRUE(called) << called.error().what;
    EXPECT_EQ(*called, 80);
    std::promise<void> answered;
    mesh.discover_service_async("web", [&](const Result<EndpointSetPtr>& set) {
        EXPECT_TRUE(set);
        answered.set_value();
    });
    answered.get_future().get();
    EXPECT_EQ(slow.size(), 1U);
    go.set_value();
    slow.until_size(1);
}

TEST_F(SlowSubscriber, HearsOfAllThatChangedMeanwhileAtOnce) {
    const Watch blocked = blocking_watch();
    std::vector<ServiceRegistration> all;
    for (int i = 0; i < 10; ++i) all.push_back(*mesh.register_service(web(i)));
    EXPECT_TRUE(all.back().deregister());
    ASSERT_EQ((*mesh.discover_service("web", false))->endpoints.size(), 9U);
    EXPECT_EQ(slow.size(), 1U);
    go.set_value();
    const EndpointChange change = slow.at(1);
    EXPECT_EQ(change.added.size(), 9U);
    EXPECT_TRUE(change.removed.empty());  // of the tenth it never heard
    EXPECT_EQ(change.all->endpoints.size(), 9U);
}

TEST_F(SlowSubscriber, ThatThrowsHearsOfTheNextChange) {
    auto watch = mesh.watch_service("web", [this](const EndpointChange& change) {
        slow.note(change);
        throw std::runtime_error("mine");
    });
    slow.at(0);
    const auto me = mesh.register_service(web(1));
    slow.at(1);
    watch->stop();
    const auto is_counted = [&] {
        return mesh.metrics_text().find("mesh_watch_callback_errors_total 2") != std::string::npos;
    };
    while (!is_counted()) std::this_thread::yield();  // a moment after the call itself
}

TEST_F(SlowSubscriber, IsNotCalledAgainAfterStopAndStopWaitsForTheCall) {
    auto blocked = std::make_unique<Watch>(blocking_watch());
    const auto me = mesh.register_service(web(1));  // a second call is due
    std::atomic<bool> has_stopped{false};
    std::thread stopper([&] {
        blocked->stop();
        has_stopped = true;
    });
    const Watch other =
        *mesh.watch_service("web", [this](const EndpointChange& change) { quick.note(change); });
    quick.until_size(1);
    EXPECT_FALSE(has_stopped);  // its call is not over
    go.set_value();
    stopper.join();
    const std::size_t told = slow.size();
    const auto another = mesh.register_service(web(2));
    quick.until_size(2);
    EXPECT_EQ(slow.size(), told);
}

TEST_F(SlowSubscriber, AMeshEndsWhenItsCallbacksDo) {
    {
        ServiceMesh brief = *ServiceMesh::create({.registry = Fixed{}});
        std::promise<void> begun;
        const Watch watch = *brief.watch_service("web", [&](const EndpointChange&) {
            begun.set_value();
            gone.get();
        });
        begun.get_future().get();
        std::thread later([&] { go.set_value(); });
        later.join();
    }
    SUCCEED() << "no callback runs any more: what it uses has gone";
}

TEST_F(SlowSubscriber, ReadinessMayTakeItsTimeToAnswer) {
    ServiceConfig config = web(1);
    std::promise<void> asked;
    std::atomic<int> times{0};
    config.ready = Readiness::when([&] {
        if (++times == 1) asked.set_value();
        gone.get();
        return true;
    });
    std::promise<Result<std::string>> registered;
    std::optional<ServiceRegistration> me;
    mesh.register_service_async(config, [&](Result<ServiceRegistration> done) {
        if (!done) return registered.set_value(std::move(done).error());
        me.emplace(*std::move(done));
        registered.set_value(me->id());
    });
    asked.get_future().get();
    EXPECT_TRUE((*mesh.discover_service("web", false))->endpoints.empty());
    go.set_value();
    const auto id = registered.get_future().get();
    ASSERT_TRUE(id) << id.error().what;
    EXPECT_EQ(*id, "web-1");
    EXPECT_EQ(times, 1);
}

}  // namespace
}  // namespace datapunk::mesh
