#pragma once

// The list behind test_conformance.h; include that one.

#include <string>
#include <vector>

#include "registry/test_conformance.h"
#include "registry/test_conformance_lifecycle.h"
#include "registry/test_conformance_waits.h"

namespace datapunk::mesh::registry::conformance {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::Field;

inline void what_is_registered_becomes_visible(RegistryUnderTest& registry) {
    Conversation talk(registry, "seen");
    ASSERT_TRUE(talk.add(talk.config(8080)));
    const Answer answer = talk.until_size(1);
    ASSERT_EQ(answer.endpoints.size(), 1U);
    const ServiceEndpoint& endpoint = answer.endpoints[0];
    EXPECT_EQ(endpoint.id, "seen-127.0.0.1-8080");
    EXPECT_EQ(endpoint.service, "seen");
    EXPECT_EQ(endpoint.address(), "127.0.0.1:8080");
    EXPECT_EQ(endpoint.weight, 1U);
    EXPECT_EQ(endpoint.health, Health::passing);
    EXPECT_TRUE(endpoint.tags.empty());
    EXPECT_TRUE(endpoint.metadata.empty());
}

inline void an_unknown_service_is_empty_and_no_error(RegistryUnderTest& registry) {
    Conversation talk(registry, "never-registered");
    const auto answer = talk.wait(0, 0s);
    ASSERT_TRUE(answer) << answer.error().what;
    EXPECT_TRUE(answer->endpoints.empty());
    EXPECT_GE(answer->index, 1U);
}

inline void the_same_id_again_replaces(RegistryUnderTest& registry) {
    Conversation talk(registry, "replaced");
    ServiceConfig config = talk.config(8081);
    config.id = "one";
    config.tags = {"old"};
    ASSERT_TRUE(talk.add(config));
    talk.until_size(1);
    config.port = 9091;
    config.tags = {"new"};
    ASSERT_TRUE(talk.add(config));
    const Answer answer = talk.until([](const auto& endpoints) {
        return endpoints.size() == 1 && endpoints[0].port == 9091;
    });
    ASSERT_EQ(answer.endpoints.size(), 1U);
    EXPECT_THAT(answer.endpoints[0].tags, ElementsAre("new"));
}

inline void what_is_deregistered_disappears(RegistryUnderTest& registry) {
    Conversation talk(registry, "leaving");
    ASSERT_TRUE(talk.add(talk.config(1001)));
    ASSERT_TRUE(talk.add(talk.config(1002)));
    const Answer before = talk.until_size(2);
    ASSERT_TRUE(talk.remove(talk.config(1001)));
    const Answer one = talk.until_size(1);
    EXPECT_GT(one.index, before.index);
    EXPECT_EQ(one.endpoints.at(0).port, 1002);
    ASSERT_TRUE(talk.remove(talk.config(1002)));
    EXPECT_GT(talk.until_size(0).index, one.index);
}

inline void deregistering_what_is_unknown_is_not_found(RegistryUnderTest& registry) {
    Conversation talk(registry, "unknown");
    const auto result = talk.deregister("nobody");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::not_found) << result.error().what;
}

inline void it_knows_which_registrations_it_has(RegistryUnderTest& registry) {
    Conversation talk(registry, "asked");
    EXPECT_FALSE(*talk.has("asked-127.0.0.1-1"));
    ASSERT_TRUE(talk.add(talk.config(1)));
    EXPECT_TRUE(*talk.has("asked-127.0.0.1-1"));
    ASSERT_TRUE(talk.deregister("asked-127.0.0.1-1"));
    EXPECT_FALSE(*talk.has("asked-127.0.0.1-1"));
}

inline void ids_may_hold_any_printable_byte_but_a_slash(RegistryUnderTest& registry) {
    Conversation talk(registry, "odd-ids");
    const std::string id = R"(a b%2F?x=1&y#z+"\ü)";
    ServiceConfig config = talk.config(80);
    config.id = id;
    ASSERT_TRUE(talk.add(*checked(config)));
    EXPECT_EQ(talk.until_size(1).endpoints.at(0).id, id);
    const auto removed = talk.remove(config);
    EXPECT_TRUE(removed) << removed.error().what;
    talk.until_size(0);
}

inline void an_odd_id_can_be_asked_and_beaten(RegistryUnderTest& registry) {
    Conversation talk(registry, "odd-beats");
    ServiceConfig config = talk.config_with_ttl(80);
    config.id = R"(b a%2F?x=1&y#z+"\ü)";
    ASSERT_TRUE(talk.add(*checked(config)));
    EXPECT_TRUE(*talk.has(config.id));
    const auto beaten = talk.beat(config.id, Health::passing);
    EXPECT_TRUE(beaten) << beaten.error().what;
    talk.until_health(Health::passing);
    EXPECT_TRUE(talk.deregister(config.id));
}

inline void who_is_read_only_says_so(RegistryUnderTest& registry) {
    Conversation talk(registry, "refused");
    EXPECT_FALSE(talk.backend().capabilities().can_register);
    EXPECT_EQ(talk.backend().capabilities().kept_alive_by, KeptAliveBy::nobody);
    const auto added = talk.value(talk.backend().register_service(talk.config(1), talk.deadline()));
    for (const Result<>& refused :
         {added, talk.deregister("refused-127.0.0.1-1"), talk.beat("x", Health::passing)}) {
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::denied);
        EXPECT_FALSE(refused.error().retryable);
        EXPECT_THAT(refused.error().what, testing::HasSubstr("read-only"));
    }
    EXPECT_FALSE(*talk.has("refused-127.0.0.1-1"));
}

inline void endpoints_come_sorted_by_id(RegistryUnderTest& registry) {
    Conversation talk(registry, "sorted");
    // (Not "B": to Consul, ids that differ in case only are the same.)
    for (const char* id : {"c", "a", "b", "a1"}) {
        ServiceConfig config = talk.config(80);
        config.id = id;
        ASSERT_TRUE(talk.add(config));
    }
    const Answer answer = talk.until_size(4);
    std::vector<std::string> ids;
    for (const ServiceEndpoint& endpoint : answer.endpoints) ids.push_back(endpoint.id);
    EXPECT_THAT(ids, ElementsAre("a", "a1", "b", "c"));
}

inline void tags_and_metadata_come_back(RegistryUnderTest& registry) {
    Conversation talk(registry, "described");
    ServiceConfig config = talk.config(80);
    config.tags = {"v1", "canary", "a=b,c \"d\" <e>"};
    config.meta = {{"zone", "eu-1"}, {"empty", ""}, {"text", "ümlaut \"quoted\" \\ <b>&"}};
    ASSERT_TRUE(talk.add(*checked(config)));
    const Answer answer = talk.until_size(1);
    ASSERT_EQ(answer.endpoints.size(), 1U);
    EXPECT_EQ(answer.endpoints[0].tags, config.tags);
    EXPECT_EQ(answer.endpoints[0].metadata, config.meta);
}

inline void the_weight_comes_back(RegistryUnderTest& registry) {
    Conversation talk(registry, "weighed");
    ServiceConfig config = talk.config(80);
    config.weight = 65535;
    ASSERT_TRUE(talk.add(*checked(config)));
    const Answer answer = talk.until_size(1);
    ASSERT_EQ(answer.endpoints.size(), 1U);
    EXPECT_EQ(answer.endpoints[0].weight, config.weight);
}

inline void the_largest_metadata_comes_back(RegistryUnderTest& registry) {
    Conversation talk(registry, "large");
    ServiceConfig config = talk.config(80);
    for (int i = 0; i < 64; ++i) {
        std::string key = "k" + std::to_string(i) + std::string(120, '_');
        config.meta.emplace(std::move(key), std::string(512, static_cast<char>('a' + i % 26)));
    }
    ASSERT_TRUE(talk.add(*checked(config)));
    const Answer answer = talk.until_size(1);
    ASSERT_EQ(answer.endpoints.size(), 1U);
    EXPECT_EQ(answer.endpoints[0].metadata, config.meta);
}

inline void heartbeats_decide_the_health_of_a_ttl_check(RegistryUnderTest& registry) {
    Conversation talk(registry, "beating");
    const ServiceConfig config = talk.config_with_ttl(80);
    ASSERT_TRUE(talk.add(config));
    talk.until_health(Health::critical);  // nothing is known of it yet
    for (const Health health :
         {Health::passing, Health::warning, Health::critical, Health::passing}) {
        const auto beaten = talk.beat(config.id, health);
        ASSERT_TRUE(beaten) << beaten.error().what;
        talk.until_health(health);
    }
}

inline void a_missed_heartbeat_is_critical(RegistryUnderTest& registry) {
    Conversation talk(registry, "silent");
    const ServiceConfig config = talk.config_with_ttl(80, 1s);
    ASSERT_TRUE(talk.add(config));
    ASSERT_TRUE(talk.beat(config.id, Health::passing));
    talk.until_health(Health::passing);
    talk.until_health(Health::critical);
}

inline void a_heartbeat_of_what_is_unknown_is_not_found(RegistryUnderTest& registry) {
    Conversation talk(registry, "stray");
    const auto result = talk.beat("nobody", Health::passing);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::not_found) << result.error().what;
}

inline void services_are_listed_with_the_union_of_their_tags(RegistryUnderTest& registry) {
    Conversation talk(registry, "listed");
    ServiceConfig config = talk.config(1);
    config.tags = {"z", "a"};
    ASSERT_TRUE(talk.add(config));
    config = talk.config(2);
    config.tags = {"m", "a"};
    ASSERT_TRUE(talk.add(config));
    Conversation second(registry, "listed-too");
    ASSERT_TRUE(second.add(second.config(1)));
    talk.until_size(2);
    second.until_size(1);
    const auto services = talk.value(talk.backend().services(talk.deadline()));
    ASSERT_TRUE(services) << services.error().what;
    std::vector<ServiceSummary> ours;
    for (const ServiceSummary& one : *services) {
        if (one.name.starts_with("listed")) ours.push_back(one);
    }
    ASSERT_EQ(ours.size(), 2U);
    EXPECT_EQ(ours[0].name, "listed");
    EXPECT_THAT(ours[0].tags, ElementsAre("a", "m", "z"));
    EXPECT_EQ(ours[1].name, "listed-too");
    EXPECT_TRUE(ours[1].tags.empty());
}

}  // namespace datapunk::mesh::registry::conformance

namespace datapunk::mesh::registry {

inline std::vector<Behaviour> behaviours(const Offers& offers) {
    using namespace conformance;
    const auto needs = [](auto... fields) {
        Offers needed = Offers::none();
        ((needed.*fields = true), ...);
        return needed;
    };
    const Offers no_more = Offers::none();
    const Offers registers = needs(&Offers::registers);
    const Offers ids = needs(&Offers::ids);
    std::vector<Behaviour> all = {
        {"WhatIsRegisteredBecomesVisible", what_is_registered_becomes_visible, no_more},
        {"AnUnknownServiceIsEmptyAndNoError", an_unknown_service_is_empty_and_no_error, no_more},
        {"TheSameIdAgainReplaces", the_same_id_again_replaces, needs(&Offers::ids, &Offers::tags)},
        {"WhatIsDeregisteredDisappears", what_is_deregistered_disappears, no_more},
        {"DeregisteringWhatIsUnknownIsNotFound",
         deregistering_what_is_unknown_is_not_found,
         registers},
        {"ItKnowsWhichRegistrationsItHas", it_knows_which_registrations_it_has, registers},
        {"IdsMayHoldAnyPrintableByteButASlash", ids_may_hold_any_printable_byte_but_a_slash, ids},
        {"AnOddIdCanBeAskedAndBeaten", an_odd_id_can_be_asked_and_beaten, registers},
        {"EndpointsComeSortedById", endpoints_come_sorted_by_id, ids},
        {"TagsAndMetadataComeBack",
         tags_and_metadata_come_back,
         needs(&Offers::tags, &Offers::metadata)},
        {"TheWeightComesBack", the_weight_comes_back, needs(&Offers::weights)},
        {"TheLargestMetadataComesBack", the_largest_metadata_comes_back, needs(&Offers::metadata)},
        {"HeartbeatsDecideTheHealthOfATtlCheck",
         heartbeats_decide_the_health_of_a_ttl_check,
         registers},
        {"AMissedHeartbeatIsCritical", a_missed_heartbeat_is_critical, registers},
        {"AHeartbeatOfWhatIsUnknownIsNotFound",
         a_heartbeat_of_what_is_unknown_is_not_found,
         registers},
        {"WhoIsAboutToLeaveIsCriticalUntilItIsRegisteredAgain",
         who_is_about_to_leave_is_critical_until_it_is_registered_again,
         registers},
        {"TheMetadataOfARegistrationSaysWhoseItIs",
         the_metadata_of_a_registration_says_whose_it_is,
         registers},
        {"AWaitEndsWithTheChange", a_wait_ends_with_the_change, no_more},
        {"AWaitForAnUnknownServiceEndsWhenItAppears",
         a_wait_for_an_unknown_service_ends_when_it_appears,
         no_more},
        {"AWaitSleepsThroughOtherServices", a_wait_sleeps_through_other_services, no_more},
        {"AWaitWithoutChangeEndsWithWhatItHad", a_wait_without_change_ends_with_what_it_had, no_more
        },
        {"EveryWatcherWakes", every_watcher_wakes, no_more},
        {"ServicesAreListedWithTheUnionOfTheirTags",
         services_are_listed_with_the_union_of_their_tags,
         needs(&Offers::listing, &Offers::tags)},
    };
    std::erase_if(all, [&](const Behaviour& one) { return !offers.cover(one.needs); });
    if (!offers.registers)
        all.push_back({"WhoIsReadOnlySaysSo", who_is_read_only_says_so, no_more});
    return all;
}

}  // namespace datapunk::mesh::registry
