#include "wire/traceparent.h"

#include <gmock/gmock.h>

#include <string>

namespace datapunk::mesh::wire {
namespace {

const std::string kText = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceParent, ReadsAndWritesVersionZero) {
    const auto parent = parse_traceparent(kText);
    ASSERT_TRUE(parent);
    EXPECT_EQ(parent->trace_high, 0x4bf92f3577b34da6U);
    EXPECT_EQ(parent->trace_low, 0xa3ce929d0e0e4736U);
    EXPECT_EQ(parent->span_id, 0x00f067aa0ba902b7U);
    EXPECT_TRUE(parent->is_sampled());
    std::string out;
    append_traceparent(out, *parent);
    EXPECT_EQ(out, kText);
    EXPECT_EQ(format_trace_id(*parent), kText.substr(3, 32));
    EXPECT_EQ(format_span_id(parent->span_id), kText.substr(36, 16));
}

TEST(TraceParent, IgnoresWhatTheSpecificationCallsInvalid) {
    const auto with = [](std::size_t at, std::string_view part) {
        return std::string(kText).replace(at, part.size(), part);
    };
    EXPECT_TRUE(parse_traceparent(with(53, "00")));
    EXPECT_FALSE(parse_traceparent(""));
    EXPECT_FALSE(parse_traceparent(kText.substr(0, 54)));
    EXPECT_FALSE(parse_traceparent(kText + "-"));
    EXPECT_FALSE(parse_traceparent(kText + "-x"));
    EXPECT_FALSE(parse_traceparent(with(0, "ff")));
    EXPECT_FALSE(parse_traceparent(with(0, "0g")));
    EXPECT_FALSE(parse_traceparent(with(3, "4BF9")));
    EXPECT_FALSE(parse_traceparent(with(3, std::string(32, '0'))));
    EXPECT_FALSE(parse_traceparent(with(36, std::string(16, '0'))));
    EXPECT_FALSE(parse_traceparent(with(35, "_")));
    EXPECT_FALSE(parse_traceparent(with(53, "0X")));
    EXPECT_TRUE(parse_traceparent(with(3, std::string(16, '0'))));
}

TEST(TraceParent, ReadsHigherVersionsAsFarAsItKnowsThem) {
    const std::string higher = "cc" + kText.substr(2);
    EXPECT_TRUE(parse_traceparent(higher));
    EXPECT_TRUE(parse_traceparent(higher + "-what-comes-next"));
    EXPECT_FALSE(parse_traceparent(higher + ".what"));
    std::string out;
    append_traceparent(out, *parse_traceparent(higher + "-x"));
    EXPECT_EQ(out, kText);
}

TEST(TraceParent, SendsNoFlagThatItDoesNotKnow) {
    const auto parent = parse_traceparent(kText.substr(0, 53) + "ff");
    ASSERT_TRUE(parent);
    EXPECT_EQ(parent->flags, TraceParent::kSampled | TraceParent::kRandom);
}

TEST(TraceParent, ChildKeepsTheTraceAndGetsASpanOfItsOwn) {
    core::Rng rng(7);
    const TraceParent root = TraceParent::root(rng, true);
    const TraceParent child = root.child(rng);
    EXPECT_NE(child.span_id, root.span_id);
    EXPECT_NE(child.span_id, 0U);
    EXPECT_EQ(child.trace_high, root.trace_high);
    EXPECT_EQ(child.trace_low, root.trace_low);
    EXPECT_TRUE(child.is_sampled());
    EXPECT_FALSE(TraceParent::root(rng, false).is_sampled());
    std::string out;
    append_traceparent(out, child);
    EXPECT_EQ(parse_traceparent(out), child);
}

TEST(TraceState, PassesOnWhatFits) {
    EXPECT_EQ(
        fit_tracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    );
    EXPECT_EQ(fit_tracestate("a@b=1 , ,c=2"), "a@b=1 , ,c=2");
    EXPECT_EQ(fit_tracestate(""), "");
    EXPECT_EQ(fit_tracestate("A=1"), "");
    EXPECT_EQ(fit_tracestate("a"), "");
    EXPECT_EQ(fit_tracestate("a=b=c"), "");
    EXPECT_EQ(fit_tracestate("a=\x80"), "");
    EXPECT_EQ(fit_tracestate("=1"), "");
}

TEST(TraceState, CutsAtAMemberWhereALimitIsPassed) {
    std::string members;
    for (int i = 0; i < 32; ++i) members += "k" + std::to_string(i) + "=v,";
    members.pop_back();
    EXPECT_EQ(fit_tracestate(members), members);
    EXPECT_EQ(fit_tracestate(members + ",k=v"), members);
    const std::string long_one = "a=" + std::string(250, 'x');
    const std::string two = long_one + ",b=" + std::string(250, 'y');
    EXPECT_EQ(two.size(), 505U);
    EXPECT_EQ(fit_tracestate(two + ",c=12345"), two);
    EXPECT_EQ(fit_tracestate(two + ",c=1234"), two + ",c=1234");
}

}  // namespace
}  // namespace datapunk::mesh::wire
