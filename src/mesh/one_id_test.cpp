// Many threads that register and deregister one id, through the public header.

#include <datapunk/mesh/mesh.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace datapunk::mesh {
namespace {

ServiceConfig web(std::uint16_t port) {
    ServiceConfig config{.name = "web", .id = "web-1", .host = "127.0.0.1", .port = port};
    config.check.kind = HealthCheck::Kind::none;
    return config;
}

TEST(OneId, IsThereOnceOrNotAtAllHoweverManyThreadsWorkOnIt) {
    ServiceMesh mesh =
        *ServiceMesh::create({.registry = Embedded{}, .discovery = {.queries_per_second = 1000}});
    constexpr int kThreads = 4;
    constexpr int kRounds = 6;
    std::atomic<int> announced{0};
    std::atomic<int> gave_way{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int round = 0; round < kRounds; ++round) {
                const auto port = static_cast<std::uint16_t>(1 + t * kRounds + round);
                auto me = mesh.register_service(web(port));
                if (me) {
                    ++announced;
                } else {
                    // Another operation on the id came while this one was under way.
                    EXPECT_EQ(me.error().code, Code::aborted) << me.error().what;
                    ++gave_way;
                }
                const auto set = mesh.discover_service("web", false);
                ASSERT_TRUE(set) << set.error().what;
                EXPECT_LE((*set)->endpoints.size(), 1U);
                if (me && round % 2 == 0) {
                    EXPECT_TRUE(me->deregister());
                } else if (round % 3 == 0) {
                    const auto gone = mesh.deregister_service("web-1");
                    EXPECT_TRUE(gone || gone.error().code == Code::not_found) << gone.error().what;
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(announced + gave_way, kThreads * kRounds);
    EXPECT_GT(announced, 0);
    // Whatever came last: from here on it is as if there had been one thread.
    const auto last = mesh.register_service(web(9999));
    ASSERT_TRUE(last) << last.error().what;
    const auto set = *mesh.discover_service("web", false);
    ASSERT_EQ(set->endpoints.size(), 1U);
    EXPECT_EQ(set->endpoints[0].port, 9999);
    EXPECT_TRUE(mesh.deregister_service("web-1"));
    EXPECT_TRUE((*mesh.discover_service("web", false))->endpoints.empty());
}

}  // namespace
}  // namespace datapunk::mesh
