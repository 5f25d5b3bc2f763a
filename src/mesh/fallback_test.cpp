#include <datapunk/mesh/fallback.h>
#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>

#include <string>

namespace datapunk::mesh {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::Pair;

struct Fallback : testing::Test {
    Instant now{};
    FallbackChain<std::string> chain{[this] { return now; }};

    static Result<std::string> failed(Code code = Code::unavailable) {
        return Error{.code = code, .what = "down"};
    }

    auto run(Result<std::string> result) {
        return chain.run([&] { return std::move(result); });
    }
};

TEST_F(Fallback, IsNotAskedWhileTheCallSucceeds) {
    chain.answer("static");
    const auto said = run(std::string("fresh"));
    ASSERT_TRUE(said);
    EXPECT_EQ(said->value, "fresh");
    EXPECT_FALSE(said->is_fallback());
    EXPECT_THAT(chain.counts(), ElementsAre(Pair("answer", 0), Pair("none", 0)));
}

TEST_F(Fallback, StepsAreTriedInOrderAndTheAnswerSaysWhichAndWhy) {
    chain.cached(seconds(10))
        .ask("backup", [](const Error& why) { return Result<std::string>("b:" + why.what); })
        .answer("static");
    auto said = run(failed());  // nothing is cached yet
    ASSERT_TRUE(said);
    EXPECT_EQ(said->value, "b:down");
    EXPECT_EQ(said->from, "backup");
    EXPECT_EQ(said->why.what, "down");
    ASSERT_TRUE(run(std::string("good")));
    now += seconds(4);
    said = run(failed());
    ASSERT_TRUE(said);
    EXPECT_EQ(said->value, "good");
    EXPECT_EQ(said->from, "cached");
    EXPECT_EQ(said->age, seconds(4));
    EXPECT_THAT(
        chain.counts(),
        ElementsAre(Pair("cached", 1), Pair("backup", 1), Pair("answer", 0), Pair("none", 0))
    );
}

TEST_F(Fallback, ACachedAnswerIsGoodForItsTimeAndNoLongerAndFallbacksDoNotRenewIt) {
    chain.cached(seconds(10)).answer("static");
    ASSERT_TRUE(run(std::string("good")));
    now += seconds(10);
    EXPECT_EQ(run(failed())->value, "good");
    now += Duration(1);
    EXPECT_EQ(run(failed())->value, "static");
    EXPECT_EQ(run(failed())->value, "static");
}

TEST_F(Fallback, WhatIsNotTheServicesFailureIsNotAnswered) {
    chain.answer("static");
    for (const Code code :
         {Code::invalid, Code::not_found, Code::conflict, Code::denied, Code::aborted}) {
        const auto said = run(failed(code));
        ASSERT_FALSE(said);
        EXPECT_EQ(said.error().code, code);
    }
    for (const Code code : {Code::unavailable, Code::timeout, Code::exhausted, Code::internal}) {
        EXPECT_TRUE(run(failed(code)));
    }
    chain.worth([](const Error& error) { return error.code == Code::not_found; });
    EXPECT_TRUE(run(failed(Code::not_found)));
    EXPECT_FALSE(run(failed(Code::unavailable)));
}

TEST_F(Fallback, AFallbackThatFailsDoesNotHideTheFirstError) {
    chain.ask("backup", [](const Error&) {
        return Result<std::string>(Error{.code = Code::denied, .what = "backup denied"});
    });
    const auto said = run(failed());
    ASSERT_FALSE(said);
    EXPECT_EQ(said.error().what, "down");
    EXPECT_THAT(chain.counts(), ElementsAre(Pair("backup", 0), Pair("none", 1)));
}

TEST_F(Fallback, AnotherServiceAnswersForOneThatHasNoEndpoint) {
    auto mesh = ServiceMesh::create(
        {.registry = Fixed{.services = {{"quotes-b", {{.host = "10.0.0.1", .port = 80}}}}},
         .log_level = LogLevel::off}
    );
    ASSERT_TRUE(mesh);
    const auto fetch = [](const ServiceEndpoint& e, Attempt&) {
        return Result<std::string>("from " + e.service);
    };
    chain.ask("quotes-b", [&](const Error&) { return mesh->call<std::string>("quotes-b", fetch); });
    // That there is no endpoint at all is said as not_found.
    chain.worth([](const Error& error) { return error.retryable; });
    const auto said = chain.run([&] { return mesh->call<std::string>("quotes", fetch); });
    ASSERT_TRUE(said) << said.error().what;
    EXPECT_EQ(said->value, "from quotes-b");
    EXPECT_TRUE(said->is_fallback());
}

}  // namespace
}  // namespace datapunk::mesh
