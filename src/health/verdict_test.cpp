#include "health/verdict.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::health {
namespace {

TEST(Verdict, IsTheTableOfItsHeader) {
    using enum Wellness;
    const Wellness table[3][3] = {
        {healthy, degraded, unhealthy},
        {degraded, degraded, unhealthy},
        {unhealthy, unhealthy, unhealthy},
    };
    for (int active = 0; active < 3; ++active) {
        for (int passive = 0; passive < 3; ++passive) {
            EXPECT_EQ(
                combine(static_cast<Health>(active), static_cast<Passive>(passive)),
                table[active][passive]
            ) << active
              << " " << passive;
        }
    }
}

TEST(Verdict, OfAServiceIsHealthyOnlyIfEverythingIs) {
    ServiceWellness service;
    EXPECT_EQ(service.verdict(), Wellness::unhealthy) << "nobody is there";
    service.add(Wellness::healthy);
    EXPECT_EQ(service.verdict(), Wellness::healthy);
    service.dependency_fails = true;
    EXPECT_EQ(service.verdict(), Wellness::degraded);
    service.dependency_fails = false;
    service.add(Wellness::unhealthy);
    EXPECT_EQ(service.verdict(), Wellness::degraded);
    service.breaker_open = true;
    EXPECT_EQ(service.verdict(), Wellness::unhealthy);
    ServiceWellness down{.unhealthy = 3};
    EXPECT_EQ(down.verdict(), Wellness::unhealthy);
    down.add(Wellness::degraded);
    EXPECT_EQ(down.verdict(), Wellness::degraded);
}

}  // namespace
}  // namespace datapunk::mesh::health
