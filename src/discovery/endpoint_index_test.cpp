#include "discovery/endpoint_index.h"

#include <gmock/gmock.h>

#include "core/rng.h"
#include "sim/run.h"

namespace datapunk::mesh::discovery {
namespace {

std::string pick(core::Rng& rng, std::initializer_list<const char*> from) {
    return *(from.begin() + rng.below(from.size()));
}

EndpointSetPtr random_set(core::Rng& rng, std::size_t size, std::uint64_t generation) {
    auto set = std::make_shared<EndpointSet>();
    set->service = "web";
    set->generation = generation;
    for (std::size_t i = 0; i < size; ++i) {
        ServiceEndpoint endpoint{.id = std::to_string(100'000 + i), .host = "10.0.0.1", .port = 80};
        for (const char* tag : {"a", "b", "c"}) {
            if (rng.below(2) == 0) endpoint.tags.emplace_back(tag);
        }
        if (rng.below(9) == 0) endpoint.tags.emplace_back("a");  // perhaps twice
        if (rng.below(5) > 0) endpoint.metadata["zone"] = pick(rng, {"z1", "z2", "z3"});
        if (rng.below(2) > 0) endpoint.metadata["version"] = pick(rng, {"1", "2"});
        if (rng.below(2) > 0) endpoint.metadata["capabilities"] = pick(rng, {"x", "x,y", "y,xx"});
        endpoint.health = static_cast<Health>(rng.below(3));
        set->endpoints.push_back(std::move(endpoint));
    }
    return set;
}

DiscoveryFilter random_filter(core::Rng& rng) {
    DiscoveryFilter filter;
    if (rng.below(2) == 0) filter.tags.push_back(pick(rng, {"a", "b", "nobody has it"}));
    if (rng.below(3) == 0) filter.tags.emplace_back("c");
    if (rng.below(2) == 0) filter.zone = pick(rng, {"z1", "z2", "nowhere"});
    if (rng.below(3) == 0) filter.metadata["version"] = pick(rng, {"1", "2"});
    if (rng.below(3) == 0) filter.version = pick(rng, {"1", "2"});
    if (rng.below(3) == 0) filter.capabilities.push_back(pick(rng, {"x", "y", "xx"}));
    filter.healthy = rng.below(2) == 0;
    return filter;
}

std::vector<ServiceEndpoint> by_looking_at_each(
    const EndpointSet& set, const DiscoveryFilter& filter
) {
    std::vector<ServiceEndpoint> found;
    for (const ServiceEndpoint& endpoint : set.endpoints) {
        if (filter.matches(endpoint)) found.push_back(endpoint);
    }
    return found;
}

TEST(EndpointIndex, FindsWhatLookingAtEachEndpointFinds) {
    const std::uint64_t seed = sim::seed_for_test(3);
    core::Rng rng(seed);
    EndpointIndex index;
    for (std::uint64_t round = 1; round <= 100; ++round) {
        SCOPED_TRACE(sim::seed_hint(seed) + " round " + std::to_string(round));
        const EndpointSetPtr set = random_set(rng, rng.below(60), round);
        for (int i = 0; i < 60; ++i) {
            const DiscoveryFilter filter = random_filter(rng);
            ASSERT_EQ(index.select(set, filter)->endpoints, by_looking_at_each(*set, filter))
                << to_string(filter);
        }
    }
}

TEST(EndpointIndex, LooksAtTheEndpointsOncePerDimensionAndGeneration) {
    core::Rng rng(1);
    EndpointIndex index;
    const EndpointSetPtr set = random_set(rng, 10'000, 1);
    for (const char* zone : {"z1", "z2", "z3"}) {
        for (const char* tag : {"a", "b", "c"}) index.select(set, {.tags = {tag}, .zone = zone});
    }
    EXPECT_EQ(index.scans(), 2U);
    auto confirmed = std::make_shared<EndpointSet>(*set);
    confirmed->stale = true;
    EXPECT_TRUE(index.select(confirmed, {.zone = "z1"})->stale);
    EXPECT_EQ(index.scans(), 2U);
    index.select(random_set(rng, 10'000, 2), {.zone = "z1"});
    EXPECT_EQ(index.scans(), 3U);
}

TEST(EndpointIndex, TheSameQuestionHasTheSameAnswer) {
    core::Rng rng(1);
    EndpointIndex index;
    const EndpointSetPtr set = random_set(rng, 100, 1);
    const EndpointSetPtr first = index.select(set, {.zone = "z1"});
    EXPECT_EQ(index.select(set, {.zone = "z1"}), first);
    EXPECT_NE(index.select(set, {.zone = "z2"}), first);
    EXPECT_EQ(index.select(set, {}), set);
    EXPECT_EQ(index.select(nullptr, {.zone = "z1"}), nullptr);
    for (std::size_t i = 0; i < 3 * EndpointIndex::kAnswersMax; ++i) {
        EXPECT_TRUE(index.select(set, {.zone = "none" + std::to_string(i)})->endpoints.empty());
    }
}

}  // namespace
}  // namespace datapunk::mesh::discovery
