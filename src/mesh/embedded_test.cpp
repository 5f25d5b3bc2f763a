// ServiceMesh with a registry inside: real threads, a real socket for the health check.

#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>

namespace datapunk::mesh {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

MeshOptions embedded(const std::string& data_dir = "") {
    return {.registry = Embedded{.data_dir = data_dir}, .log_level = LogLevel::off};
}

ServiceConfig unchecked(std::uint16_t port) {
    return {
        .name = "web",
        .host = "127.0.0.1",
        .port = port,
        .tags = {"v1"},
        .meta = {{"zone", "a"}},
        .check = {.kind = HealthCheck::Kind::none},
    };
}

// The last set that a watch reported.
class Seen {
  public:
    void note(const EndpointChange& change) {
        const std::lock_guard lock(mutex_);
        last_ = change.all;
        changed_.notify_all();
    }

    template <class Want>
    bool wait(const Want& want) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, seconds(20), [&] { return last_ && want(*last_); });
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    EndpointSetPtr last_;
};

TEST(EmbeddedMesh, WhatRegistersIsFoundAndWhatGoesIsGone) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    Seen seen;
    auto watch =
        mesh.watch_service("web", [&](const EndpointChange& change) { seen.note(change); });
    ASSERT_TRUE(watch);
    {
        const auto me = mesh.register_service(unchecked(80));
        ASSERT_TRUE(me) << me.error().what;
        EXPECT_EQ(me->id(), "web-127.0.0.1-80");
        const auto set = mesh.discover_service("web", false);
        ASSERT_TRUE(set);
        ASSERT_EQ((*set)->endpoints.size(), 1U);
        EXPECT_EQ((*set)->endpoints[0].metadata.at("zone"), "a");
        EXPECT_TRUE(seen.wait([](const EndpointSet& s) { return s.endpoints.size() == 1; }));
        EXPECT_EQ(mesh.get_service_instance("web")->address(), "127.0.0.1:80");
        EXPECT_TRUE(mesh.is_ready());
    }
    EXPECT_TRUE(mesh.discover_service("web", false).value()->endpoints.empty());
    EXPECT_TRUE(seen.wait([](const EndpointSet& s) { return s.endpoints.empty(); }));
}

TEST(EmbeddedMesh, DeregisteringTwiceIsFineAndAnUnknownIdIsNot) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    auto me = mesh.register_service(unchecked(80)).value();
    EXPECT_TRUE(me.deregister());
    EXPECT_TRUE(me.deregister());
    auto again = mesh.register_service(unchecked(80)).value();
    EXPECT_TRUE(mesh.deregister_service(again.id()));
    const auto unknown = mesh.deregister_service("nobody");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Code::not_found);
}

TEST(EmbeddedMesh, TheSameIdAgainReplacesAndTheOldHandleIsWorthNothing) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    auto first = mesh.register_service(unchecked(80)).value();
    ServiceConfig config = unchecked(80);
    config.tags = {"v2"};
    auto second = mesh.register_service(config).value();
    EXPECT_TRUE(first.deregister());
    const auto set = mesh.discover_service("web", false).value();
    ASSERT_EQ(set->endpoints.size(), 1U);
    EXPECT_EQ(set->endpoints[0].tags, std::vector<std::string>{"v2"});
}

TEST(EmbeddedMesh, DetachedRegistrationsSurviveTheirHandle) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    {
        auto me = mesh.register_service(unchecked(80)).value();
        me.detach();
    }
    EXPECT_EQ(mesh.discover_service("web", false).value()->endpoints.size(), 1U);
}

TEST(EmbeddedMesh, AMeshThatGoesDeregistersWhatIsStillAnnounced) {
    const auto dir = std::filesystem::path(testing::TempDir()) / "mesh-embedded-test";
    std::filesystem::remove_all(dir);
    std::optional<ServiceRegistration> outlives;
    {
        ServiceMesh mesh = ServiceMesh::create(embedded(dir)).value();
        outlives = mesh.register_service(unchecked(80)).value();
        auto detached = mesh.register_service(unchecked(81)).value();
        detached.detach();
    }
    EXPECT_TRUE(outlives->deregister());  // nothing left to do
    EXPECT_FALSE(outlives->set_health(Health::passing, ""));
    ServiceMesh mesh = ServiceMesh::create(embedded(dir)).value();
    const auto set = mesh.discover_service("web", false).value();
    ASSERT_EQ(set->endpoints.size(), 1U);
    EXPECT_EQ(set->endpoints[0].port, 81);
    std::filesystem::remove_all(dir);
}

TEST(EmbeddedMesh, ATtlServiceSaysItselfHowItIs) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    ServiceConfig config = unchecked(80);
    config.check.kind = HealthCheck::Kind::ttl;
    auto me = mesh.register_service(config).value();
    EXPECT_EQ(mesh.discover_service("web", false).value()->endpoints[0].health, Health::passing);
    Seen seen;
    auto watch =
        mesh.watch_service("web", [&](const EndpointChange& change) { seen.note(change); });
    ASSERT_TRUE(me.set_health(Health::critical, "no disk"));
    EXPECT_TRUE(seen.wait([](const EndpointSet& s) {
        return s.endpoints.size() == 1 && s.endpoints[0].health == Health::critical;
    }));

    auto other = mesh.register_service(unchecked(81)).value();
    const auto refused = other.set_health(Health::critical, "");
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().what, HasSubstr("only one of kind ttl"));
}

// Somebody who listens on a free port of the loopback.
class Listening {
  public:
    Listening() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), size), 0);
        EXPECT_EQ(::listen(fd_, 8), 0);
        EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size), 0);
        port_ = ntohs(at.sin_port);
    }

    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

    ~Listening() { ::close(fd_); }

    std::uint16_t port() const { return port_; }

  private:
    int fd_;
    std::uint16_t port_ = 0;
};

TEST(EmbeddedMesh, ProbesItsServicesWithTheirChecks) {
    const Listening listening;
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    ServiceConfig config = unchecked(listening.port());
    config.check = {
        .kind = HealthCheck::Kind::tcp,
        .interval = seconds(1),
        .timeout = seconds(1),
        .successes_before_passing = 1,
    };
    Seen seen;
    auto watch =
        mesh.watch_service("web", [&](const EndpointChange& change) { seen.note(change); });
    auto me = mesh.register_service(config).value();
    // Critical until a probe has said otherwise, which may be at once.
    EXPECT_TRUE(seen.wait([](const EndpointSet& s) {
        return s.endpoints.size() == 1 && s.endpoints[0].health == Health::passing;
    }));
}

TEST(EmbeddedMesh, EndpointsAreSelectedByWhatTheySayAboutThemselves) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    std::vector<ServiceRegistration> all;
    const auto add = [&](std::uint16_t port, std::string zone, std::string version) {
        ServiceConfig config = unchecked(port);
        config.meta.clear();
        config.zone = std::move(zone);
        config.version = std::move(version);
        all.push_back(mesh.register_service(config).value());
    };
    add(1, "a", "1");
    add(2, "b", "1");
    add(3, "a", "2");
    const auto in_a = mesh.discover_service("web", DiscoveryFilter{.zone = "a"}, false).value();
    ASSERT_EQ(in_a->endpoints.size(), 2U);
    EXPECT_EQ(in_a->endpoints[0].port, 1);
    EXPECT_EQ(in_a->endpoints[1].zone(), "a");
    EXPECT_TRUE(
        mesh.discover_service("web", DiscoveryFilter{.zone = "c"}).value()->endpoints.empty()
    );
    const auto bad = mesh.discover_service("web", DiscoveryFilter{.zone = "no zone"});
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().code, Code::invalid);

    Seen seen;
    const DiscoveryFilter newest{.version = "2"};
    const Watch watch =
        mesh.watch_service("web", newest, [&](const EndpointChange& c) { seen.note(c); }).value();
    const auto ports = [](const EndpointSet& set) {
        std::vector<int> found;
        for (const ServiceEndpoint& endpoint : set.endpoints) found.push_back(endpoint.port);
        return found;
    };
    EXPECT_TRUE(seen.wait([&](const EndpointSet& set) { return ports(set) == std::vector{3}; }));
    add(4, "b", "2");
    EXPECT_TRUE(seen.wait([&](const EndpointSet& set) { return ports(set) == std::vector{3, 4}; }));
}

TEST(EmbeddedMesh, CallsOnlyTheSubsetThatItsPolicyNames) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    ServiceConfig config = unchecked(1);
    config.tags = {"stable"};
    const auto stable = mesh.register_service(config).value();
    config.port = 2;
    config.tags = {"canary"};
    const auto canary = mesh.register_service(config).value();
    const Service service = mesh.service("web", {.subset = {.tags = {"canary"}}}).value();
    for (int i = 0; i < 10; ++i) {
        auto lease = service.get_service_instance();
        ASSERT_TRUE(lease) << lease.error().what;
        EXPECT_EQ(lease->endpoint().port, 2);
        lease->report(Outcome::success);
    }
    EXPECT_FALSE(mesh.service("web", {.subset = {.tags = {"stable"}}})) << "one subset a service";
    EXPECT_FALSE(mesh.service("other", {.subset = {.tags = {""}}}));
    // Nobody is in this one, and the error says so.
    const auto third = mesh.register_service({.name = "api",
                                              .host = "127.0.0.1",
                                              .port = 3,
                                              .check = {.kind = HealthCheck::Kind::none}}
    ).value();
    const Service nobody = mesh.service("api", {.subset = {.zone = "z"}}).value();
    const auto lease = nobody.get_service_instance();
    ASSERT_FALSE(lease);
    EXPECT_THAT(
        lease.error().what, HasSubstr("no endpoint is known in the subset, 1 outside of it")
    );
}

TEST(EmbeddedMesh, WhatItWritesItsOwnCallersSeeAtOnce) {
    for (const bool is_followed : {false, true}) {
        SCOPED_TRACE(is_followed);
        ServiceMesh mesh = ServiceMesh::create(embedded()).value();
        const auto endpoints = [&] { return mesh.discover_service("web").value()->endpoints; };
        std::optional<Service> service;
        if (is_followed) service = mesh.service("web").value();
        EXPECT_TRUE(endpoints().empty());  // and known to be, for a while
        std::vector<ServiceRegistration> all;
        for (std::uint16_t port = 1; port <= 20; ++port) {
            all.push_back(mesh.register_service(unchecked(port)).value());
            EXPECT_EQ(endpoints().size(), port);
            if (is_followed) {
                EXPECT_TRUE(service->get_service_instance());
            }
        }
        ServiceConfig other = unchecked(1);
        other.meta["zone"] = "b";
        const auto replacement = mesh.register_service(other).value();
        EXPECT_EQ(endpoints()[0].zone(), "b");
        ServiceConfig told = unchecked(99);
        told.id = "0";  // the first
        told.check.kind = HealthCheck::Kind::ttl;
        auto itself = mesh.register_service(told).value();
        for (const Health health : {Health::critical, Health::warning, Health::passing}) {
            ASSERT_TRUE(itself.set_health(health, "so it is"));
            EXPECT_EQ(endpoints()[0].health, health);
        }
        ASSERT_TRUE(itself.deregister());
        EXPECT_EQ(endpoints().size(), 20U);
        ASSERT_TRUE(mesh.deregister_service("web-127.0.0.1-7"));
        EXPECT_EQ(endpoints().size(), 19U);
        all.clear();
        EXPECT_EQ(endpoints().size(), 1U);
    }
}

TEST(EmbeddedMesh, RunsAHealthCheckOfTheUsersOwn) {
    ServiceMesh mesh = ServiceMesh::create(embedded()).value();
    Seen seen;
    const Watch watch =
        mesh.watch_service("web", [&](const EndpointChange& c) { seen.note(c); }).value();
    std::atomic<bool> is_well = true;
    ServiceConfig config = unchecked(1);
    config.check = HealthCheck::calling([&] {
        return CheckResult{is_well ? Health::passing : Health::critical, "says the user"};
    });
    config.check.interval = seconds(1);
    config.check.failures_before_critical = 1;
    config.check.successes_before_passing = 1;
    const auto me = mesh.register_service(config).value();
    const auto is = [](Health health) {
        return [health](const EndpointSet& set) {
            return set.endpoints.size() == 1 && set.endpoints[0].health == health;
        };
    };
    EXPECT_TRUE(seen.wait(is(Health::passing)));
    is_well = false;
    EXPECT_TRUE(seen.wait(is(Health::critical)));
}

}  // namespace
}  // namespace datapunk::mesh
