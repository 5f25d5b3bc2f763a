#include "proxy/upstream_service.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace datapunk::mesh::proxy {
namespace {

std::string name_of(int number) {
    return "service-" + std::to_string(number);
}

policy::ServicePolicies& add(UpstreamServices& services, int number) {
    return services.add(
        std::make_unique<policy::ServicePolicies>(name_of(number), ServicePolicy{}, 1)
    );
}

TEST(UpstreamServices, AreFoundByTheirNamesHoweverMany) {
    UpstreamServices services;
    EXPECT_EQ(services.find("service-0"), nullptr);
    std::vector<policy::ServicePolicies*> all;
    for (int i = 0; i < 300; ++i) all.push_back(&add(services, i));
    for (int i = 0; i < 300; ++i) {
        const auto at = static_cast<std::size_t>(i);
        EXPECT_EQ(services.find(name_of(i)), all[at]);
        EXPECT_EQ(&services.connections_of(*all[at]), &services.connections_of(*all[at]));
    }
    EXPECT_EQ(services.find("service-300"), nullptr);
    EXPECT_EQ(services.size(), 300U);
}

TEST(UpstreamServices, OneThatIsUnlistedIsKnownAndNotFound) {
    UpstreamServices services;
    policy::ServicePolicies& one = add(services, 1);
    add(services, 2);
    services.list("service-1", false);
    EXPECT_EQ(services.find("service-1"), nullptr);
    EXPECT_EQ(services.find_any("service-1"), &one);
    int listed = 0;
    services.for_each([&listed](const policy::ServicePolicies&) { ++listed; });
    EXPECT_EQ(listed, 1);
    services.list("service-1", true);
    EXPECT_EQ(services.find("service-1"), &one);
}

TEST(UpstreamServices, WorkersLookThemUpWhileOthersAreAdded) {
    UpstreamServices services;
    policy::ServicePolicies& first = add(services, 0);
    std::atomic<bool> is_over{false};
    std::atomic<int> wrong{0};
    std::vector<std::thread> workers;
    for (int t = 0; t < 3; ++t) {
        workers.emplace_back([&] {
            int known = 0;  // what has been found once is found for good
            while (!is_over.load(std::memory_order_relaxed)) {
                if (services.find("service-0") != &first) ++wrong;
                if (services.find(name_of(known + 1)) != nullptr) ++known;
                if (services.find(name_of(known)) == nullptr) ++wrong;
            }
        });
    }
    for (int i = 1; i <= 400; ++i) add(services, i);
    is_over = true;
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace datapunk::mesh::proxy
