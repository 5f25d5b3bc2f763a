// The backend and everything that may go wrong with an etcd, in virtual time.

#include "registry/etcd/etcd_backend.h"

#include "registry/etcd/fake_etcd.h"
#include "registry/test_conformance.h"
#include "sim/run.h"

namespace datapunk::mesh::registry::etcd {
namespace {

using namespace std::chrono_literals;

constexpr const char* kSelf = "10.0.0.1";
constexpr const char* kFirst = "10.0.0.2";
constexpr const char* kSecond = "10.0.0.3";

class EtcdWorld : public RegistryUnderTest {
  public:
    EtcdWorld() { backend_ = make({.endpoints = {{.host = kFirst}}}); }

    std::unique_ptr<EtcdBackend> make(EtcdConfig config) {
        return *EtcdBackend::create(world_.host(kSelf), std::move(config), core::Logger());
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return world_.loop(); }

    sim::SimWorld world_{sim::seed_for_test(1)};
    FakeEtcd etcd_{world_, kFirst};
    std::unique_ptr<EtcdBackend> backend_;
};

class EtcdConformance : public testing::TestWithParam<Behaviour> {};

TEST_P(EtcdConformance, Holds) {
    EtcdWorld world;
    SCOPED_TRACE(world.world_.hint());
    GetParam().run(world);
}

INSTANTIATE_TEST_SUITE_P(All, EtcdConformance, testing::ValuesIn(behaviours()), behaviour_name);

class EtcdBackendTest : public testing::Test, public EtcdWorld {
  public:
    EtcdBackendTest() : talk_(*this, "api") {}

    Result<Answer> wait(std::uint64_t after, Duration longest) {
        const Instant deadline = loop().now() + longest + 20s;
        return talk_.value(backend_->wait("api", after, longest, deadline));
    }

    Conversation talk_;
};

TEST_F(EtcdBackendTest, RenewsItsLeaseThreeTimesAsOftenAsNeededAndRevokesItWithTheLast) {
    ASSERT_TRUE(talk_.add(talk_.config(1)));
    ASSERT_TRUE(talk_.add(talk_.config(2)));
    EXPECT_EQ(etcd_.leases.size(), 1U);
    world_.loop().run_for(60s);
    EXPECT_GE(etcd_.asked["/v3/lease/keepalive"], 10);
    EXPECT_LE(etcd_.asked["/v3/lease/keepalive"], 14);
    EXPECT_EQ(talk_.until_size(2).endpoints.size(), 2U);
    ASSERT_TRUE(talk_.remove(talk_.config(1)));
    EXPECT_EQ(etcd_.leases.size(), 1U);
    ASSERT_TRUE(talk_.remove(talk_.config(2)));
    EXPECT_TRUE(etcd_.leases.empty());
    EXPECT_TRUE(etcd_.keys.empty());
}

TEST_F(EtcdBackendTest, RegistersAgainAfterAnOutageLongerThanItsLease) {
    const ServiceConfig config = talk_.config_with_ttl(80);
    ASSERT_TRUE(talk_.add(config));
    ASSERT_TRUE(talk_.beat(config.id, Health::warning));
    world_.partition(kSelf, kFirst);
    world_.loop().run_for(30s);
    EXPECT_TRUE(etcd_.keys.empty());
    const auto beaten = talk_.beat(config.id, Health::warning);
    ASSERT_FALSE(beaten) << "a heartbeat that reaches nobody is no success";
    EXPECT_TRUE(beaten.error().retryable);
    world_.heal(kSelf, kFirst);
    world_.loop().run_for(10s);
    const Answer again = talk_.until_size(1);
    EXPECT_EQ(again.endpoints[0].health, Health::warning);
    EXPECT_EQ(etcd_.leases.size(), 1U);
}

TEST_F(EtcdBackendTest, AnEtcdThatRestartsEmptyIsFilledAgain) {
    ASSERT_TRUE(talk_.add(talk_.config(80)));
    const Answer before = talk_.until_size(1);
    etcd_.leases.clear();
    etcd_.cluster = "78";
    etcd_.restore({}, 1);
    world_.loop().run_for(15s);
    const Answer again = talk_.until_size(1);
    EXPECT_EQ(again.endpoints, before.endpoints);
}

TEST_F(EtcdBackendTest, ADeregistrationThatFailedIsMadeUpFor) {
    ASSERT_TRUE(talk_.add(talk_.config(1)));
    ASSERT_TRUE(talk_.add(talk_.config(2)));
    etcd_.refuse_with = 503;
    const auto removed = talk_.remove(talk_.config(1));
    ASSERT_FALSE(removed);
    EXPECT_TRUE(removed.error().retryable);
    etcd_.refuse_with = 0;
    world_.loop().run_for(5s);
    EXPECT_EQ(talk_.until_size(1).endpoints.at(0).port, 2);
}

TEST_F(EtcdBackendTest, NeverWritesOverWhoTookTheIdOver) {
    ServiceConfig config = talk_.config_with_ttl(80);
    ASSERT_TRUE(talk_.add(config));
    const auto other = make({.endpoints = {{.host = kFirst}}});
    config.port = 81;
    ASSERT_TRUE(talk_.value(other->register_service(config, talk_.deadline())));
    const auto beaten = talk_.beat(config.id, Health::passing);
    ASSERT_FALSE(beaten);
    EXPECT_EQ(beaten.error().code, Code::conflict);
    const auto removed = talk_.deregister(config.id);
    EXPECT_EQ(removed.error().code, Code::not_found);
    EXPECT_EQ(talk_.until_size(1).endpoints.at(0).port, 81);
}

TEST_F(EtcdBackendTest, AWatchThatHearsNothingIsFoundOutWhenTheWaitEnds) {
    ASSERT_TRUE(talk_.add(talk_.config(1)));
    const Answer before = talk_.until_size(1);
    etcd_.is_deaf = true;
    const Instant start = loop().now();
    PendingWait pending(talk_, before.index, 10s);
    EXPECT_FALSE(pending.ends_within(1s));
    ASSERT_TRUE(talk_.add(talk_.config(2)));
    ASSERT_TRUE(pending.ends_within(20s));
    EXPECT_EQ(pending.answer().endpoints.size(), 2U);
    EXPECT_LE(loop().now() - start, 11s);
    etcd_.is_deaf = false;
    PendingWait next(talk_, pending.answer().index, 60s);
    EXPECT_FALSE(next.ends_within(1s));
    ASSERT_TRUE(talk_.add(talk_.config(3)));
    EXPECT_TRUE(next.ends_within(5s)) << "the watch was opened again";
}

TEST_F(EtcdBackendTest, ARestoredClusterIsNoticedAlthoughItAcceptsTheWatch) {
    ASSERT_TRUE(talk_.add(talk_.config(1)));
    const auto older = etcd_.keys;
    const std::uint64_t its_revision = etcd_.revision;
    for (std::uint16_t port = 2; port < 6; ++port) ASSERT_TRUE(talk_.add(talk_.config(port)));
    const Answer before = talk_.until_size(5);
    PendingWait pending(talk_, before.index, 10min);
    EXPECT_FALSE(pending.ends_within(1s));
    etcd_.restore(older, its_revision);
    ASSERT_TRUE(pending.ends_within(5s));
    EXPECT_LT(pending.answer().index, before.index);
}

TEST_F(EtcdBackendTest, ACompactedHistoryIsReadAnew) {
    ASSERT_TRUE(talk_.add(talk_.config(1)));
    const auto reader = make({.endpoints = {{.host = kFirst}}});
    const auto before = talk_.value(reader->wait("api", 0, 0s, talk_.deadline()));
    ASSERT_TRUE(before);
    ASSERT_TRUE(talk_.add(talk_.config(2)));
    ASSERT_TRUE(talk_.add(talk_.config(3)));
    etcd_.compact();
    const auto after = talk_.value(reader->wait("api", before->index, 5s, talk_.deadline()));
    ASSERT_TRUE(after) << after.error().what;
    EXPECT_EQ(after->endpoints.size(), 3U);
}

TEST_F(EtcdBackendTest, AMemberThatRefusesHangsOrIsGoneIsLeftForTheNext) {
    FakeEtcd second(world_, kSecond);
    backend_ = make({.endpoints = {{.host = kFirst}, {.host = kSecond}}});
    const auto ask = [&] { return wait(0, 0s).ok(); };
    etcd_.refuse_with = 503;
    EXPECT_TRUE(ask());
    EXPECT_TRUE(ask());
    EXPECT_EQ(etcd_.asked["/v3/kv/range"], 1) << "then it is not asked any more";
    EXPECT_EQ(second.asked["/v3/kv/range"], 2);
    etcd_.refuse_with = 0;
    second.is_silent = true;
    const Instant start = loop().now();
    EXPECT_TRUE(ask());
    EXPECT_LE(loop().now() - start, 4s);
    world_.kill(kFirst);
    second.is_silent = false;
    EXPECT_TRUE(ask());
}

TEST_F(EtcdBackendTest, AnOutageIsAnErrorThatMayPass) {
    ASSERT_TRUE(talk_.add(talk_.config(1)));
    const Answer before = talk_.until_size(1);
    for (const int status : {500, 503, 429}) {
        etcd_.refuse_with = status;
        const auto refused = wait(0, 0s);
        ASSERT_FALSE(refused) << status;
        EXPECT_EQ(refused.error().code, Code::unavailable) << refused.error().what;
        EXPECT_EQ(refused.error().source, Source::registry);
        EXPECT_TRUE(refused.error().retryable);
        EXPECT_THAT(refused.error().what, testing::HasSubstr("no leader"));
    }
    etcd_.refuse_with = 0;
    etcd_.is_silent = true;
    EXPECT_EQ(wait(before.index, 1s).error().code, Code::timeout);
    etcd_.is_silent = false;
    EXPECT_EQ(wait(0, 0s)->endpoints, before.endpoints);
}

TEST_F(EtcdBackendTest, AProxyThatWantsToBeLeftAloneSaysForHowLong) {
    etcd_.refuse_with = 503;
    EXPECT_EQ(wait(0, 0s).error().retry_after, 0s);
    etcd_.retry_after = "7";
    EXPECT_EQ(wait(0, 0s).error().retry_after, 7s);
    etcd_.retry_after = "86400";
    EXPECT_EQ(wait(0, 0s).error().retry_after, 60s);
}

TEST_F(EtcdBackendTest, WhatOthersWroteBadlyIsLeftOut) {
    etcd_.put("/dpmesh/services/api/good", R"({"host":"10.0.0.9","port":80})");
    etcd_.put("/dpmesh/services/api/bad", R"({"host":"10.0.0.9","port":"80"})");
    etcd_.put("/dpmesh/services/api/deep/er", R"({"host":"10.0.0.9","port":80})");
    const Answer answer = talk_.until_size(1);
    EXPECT_EQ(answer.endpoints[0].id, "good");
    EXPECT_EQ(answer.endpoints[0].health, Health::passing);
    // And is no reason to read all over again.
    const int reads = etcd_.asked["/v3/kv/range"];
    ASSERT_TRUE(wait(answer.index, 5s));
    EXPECT_EQ(etcd_.asked["/v3/kv/range"], reads + 1);
    etcd_.put("/dpmesh/services/api/bad", R"({"host":"10.0.0.8","port":80})");
    talk_.until_size(2);
}

TEST(EtcdConfig, IsChecked) {
    EXPECT_TRUE(check(EtcdConfig{}));
    EXPECT_FALSE(check({.endpoints = {}}));
    EXPECT_FALSE(check({.endpoints = {{.host = "a", .port = 0}}}));
    EXPECT_FALSE(check({.user = "a"}));
    EXPECT_FALSE(check({.prefix = ""}));
    EXPECT_FALSE(check({.prefix = "/a/"}));
    EXPECT_FALSE(check({.lease_ttl = 4s}));
    EXPECT_FALSE(check({.lease_ttl = 5500ms}));
    EXPECT_FALSE(check({.lease_ttl = 8s, .request_timeout = 3s}));
}

}  // namespace
}  // namespace datapunk::mesh::registry::etcd
