#include "discovery/endpoint_diff.h"

#include <gmock/gmock.h>

#include "core/rng.h"
#include "sim/run.h"

namespace datapunk::mesh::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

std::vector<ServiceEndpoint> three() {
    return {
        {.id = "a", .host = "h", .port = 1, .metadata = {{"zone", "x"}}},
        {.id = "b", .host = "h", .port = 2},
        {.id = "c", .host = "h", .port = 3, .tags = {"v1"}},
    };
}

TEST(ChangedPlaces, AreWhereSomethingVisibleDiffers) {
    EXPECT_THAT(changed_places(three(), three()), Optional(IsEmpty()));
    EXPECT_THAT(changed_places({}, {}), Optional(IsEmpty()));
    auto after = three();
    after[0].metadata["zone"] = "y";
    after[1].last_check = WallTime();  // nobody can tell
    after[2].tags.clear();
    EXPECT_THAT(changed_places(three(), after), Optional(ElementsAre(0, 2)));
}

TEST(ChangedPlaces, AreNoneOfASetWithOtherIds) {
    auto fewer = three();
    fewer.pop_back();
    EXPECT_EQ(changed_places(three(), fewer), std::nullopt);
    EXPECT_EQ(changed_places(fewer, three()), std::nullopt);
    auto other = three();
    other[2].id = "d";
    EXPECT_EQ(changed_places(three(), other), std::nullopt);
}

TEST(ChangedPlaces, SayTheSameAsTheDifference) {
    const std::uint64_t seed = sim::seed_for_test(11);
    SCOPED_TRACE(sim::seed_hint(seed));
    core::Rng rng(seed);
    for (int round = 0; round < 2000; ++round) {
        const auto make = [&] {
            auto set = std::make_shared<EndpointSet>();
            for (char id = 'a'; id < 'f'; ++id) {
                if (rng.chance(0.05)) continue;
                set->endpoints.push_back(
                    {.id = std::string(1, id),
                     .host = "h",
                     .port = static_cast<std::uint16_t>(1 + rng.below(2))}
                );
            }
            return set;
        };
        const auto before = make();
        const auto after = make();
        const EndpointChange change = difference(before.get(), after);
        const auto places = changed_places(before->endpoints, after->endpoints);
        ASSERT_EQ(places.has_value(), change.added.empty() && change.removed.empty());
        if (!places) continue;
        ASSERT_EQ(places->size(), change.changed.size());
        for (std::size_t i = 0; i < places->size(); ++i) {
            EXPECT_EQ(after->endpoints[(*places)[i]], change.changed[i]);
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::discovery
