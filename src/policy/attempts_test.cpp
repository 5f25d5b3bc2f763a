#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <vector>

#include "policy/service_policies.h"
#include "policy/test_service.h"

namespace datapunk::mesh::policy {
namespace {

std::vector<std::byte> bytes_of(const ServicePolicies& policies) {
    const auto bytes = std::as_bytes(std::span(&policies, 1));
    return {bytes.begin(), bytes.end()};
}

// Threads that call the same service meet at the lines of the endpoints that both call, and nowhere
// else: of the service itself a call that is well writes nothing, but that each thread tells the
// budget of its calls by the sixteen.
TEST(Attempts, OfTheServiceItselfACallWritesNothing) {
    for (const BalanceConfig& balance :
         {BalanceConfig{PeakEwma{}}, BalanceConfig{LeastRequest{}}, BalanceConfig{RoundRobin{}}}) {
        for (const std::size_t endpoints : {10U, 100U}) {
            ServicePolicies policies("api_service", {.balance = balance}, 1);
            policies.update(test_set(endpoints), Instant{});
            const Instant now = at(std::chrono::milliseconds(1));
            for (int i = 0; i < 16; ++i) ask(policies, now);
            const auto before = bytes_of(policies);
            for (int i = 0; i < 15; ++i) ask(policies, now);
            EXPECT_TRUE(before == bytes_of(policies)) << balance.index();
            ask(policies, now);
            EXPECT_FALSE(before == bytes_of(policies));  // so it would have been seen
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::policy
