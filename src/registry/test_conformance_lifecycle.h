#pragma once

// Behaviours about the life of a registration: whose it is, and how it leaves; include
// test_conformance.h.

#include <optional>
#include <string>

#include "registry/self_checker.h"
#include "registry/test_conformance.h"

namespace datapunk::mesh::registry::conformance {

using namespace std::chrono_literals;

inline void who_is_about_to_leave_is_critical_until_it_is_registered_again(
    RegistryUnderTest& registry
) {
    Conversation talk(registry, "leaving-soon");
    // Without a check, and with one that has passed.
    for (const ServiceConfig& config : {talk.config(80), talk.config_with_ttl(80)}) {
        const bool is_ttl = config.check.kind == HealthCheck::Kind::ttl;
        for (int again = 0; again < 2; ++again) {
            ASSERT_TRUE(talk.add(config));
            if (is_ttl) {
                ASSERT_TRUE(talk.beat(config.id, Health::passing));
            }
            talk.until_health(Health::passing);
            ASSERT_TRUE(talk.add(as_leaving(config)));
            ASSERT_TRUE(talk.beat(config.id, Health::critical));
            talk.until_health(Health::critical);
            EXPECT_TRUE(*talk.has(config.id));
        }
        ASSERT_TRUE(talk.deregister(config.id));
        talk.until_size(0);
    }
}

inline void the_metadata_of_a_registration_says_whose_it_is(RegistryUnderTest& registry) {
    Conversation talk(registry, "owned");
    ServiceConfig config = talk.config(80);
    config.meta[std::string(meta_key::owner)] = "me";
    EXPECT_EQ(*talk.metadata_of(config.id), std::nullopt);
    ASSERT_TRUE(talk.add(config));
    auto found = *talk.metadata_of(config.id);
    ASSERT_TRUE(found);
    if (found->empty()) return;  // it cannot be asked
    EXPECT_EQ((*found)[std::string(meta_key::owner)], "me");
    config.meta[std::string(meta_key::owner)] = "you";
    ASSERT_TRUE(talk.add(config));
    found = *talk.metadata_of(config.id);
    ASSERT_TRUE(found);
    EXPECT_EQ((*found)[std::string(meta_key::owner)], "you");
    ASSERT_TRUE(talk.deregister(config.id));
    EXPECT_EQ(*talk.metadata_of(config.id), std::nullopt);
}

}  // namespace datapunk::mesh::registry::conformance
