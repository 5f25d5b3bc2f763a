#include "trace/span_context.h"

#include <gtest/gtest.h>

#include <set>

namespace datapunk::mesh::trace {
namespace {

constexpr std::uint64_t kSeed = 20261121;

TEST(SpanContext, IsValidOnlyWithBothIds) {
    SpanContext context;
    EXPECT_FALSE(context.valid());
    context.trace_id[15] = 1;
    EXPECT_FALSE(context.valid());
    context.span_id[0] = 1;
    EXPECT_TRUE(context.valid());
}

TEST(SpanContext, RootsAreValidAndDiffer) {
    core::Rng rng(kSeed);
    const Sampler sampler(1);
    std::set<TraceId> traces;
    std::set<SpanId> spans;
    for (int i = 0; i < 1000; ++i) {
        const SpanContext root = new_root(sampler, rng);
        ASSERT_TRUE(root.valid());
        traces.insert(root.trace_id);
        spans.insert(root.span_id);
    }
    EXPECT_EQ(traces.size(), 1000U);
    EXPECT_EQ(spans.size(), 1000U);
}

TEST(SpanContext, ChildKeepsTheTraceAndTheCallersDecisionWhateverTheRatio) {
    core::Rng rng(kSeed);
    for (const double ratio : {0.0, 1.0}) {
        for (const std::uint8_t flags : {std::uint8_t{0}, kSampledFlag}) {
            SpanContext parent = new_root(Sampler(1), rng);
            parent.flags = flags;
            const SpanContext child = child_of(parent, Sampler(ratio), rng);
            EXPECT_EQ(child.trace_id, parent.trace_id);
            EXPECT_NE(child.span_id, parent.span_id);
            EXPECT_EQ(child.flags, flags);
        }
    }
}

TEST(SpanContext, DistrustedCallerCannotForceATraceButOtherFlagsPass) {
    core::Rng rng(kSeed);
    SpanContext parent = new_root(Sampler(1), rng);
    parent.flags = 0x03;
    EXPECT_EQ(child_of(parent, Sampler(0, false), rng).flags, 0x02);
    parent.flags = 0;
    EXPECT_EQ(child_of(parent, Sampler(1, false), rng).flags, kSampledFlag);
}

TEST(SpanContext, ChildOfNothingIsARoot) {
    core::Rng rng(kSeed);
    const SpanContext root = child_of(SpanContext{}, Sampler(1), rng);
    EXPECT_TRUE(root.valid());
    EXPECT_TRUE(root.sampled());
}

TEST(Sampler, KeepsItsShare) {
    core::Rng rng(kSeed);
    for (const double ratio : {-1.0, 0.0, 0.1, 0.5, 1.0, 2.0}) {
        int kept = 0;
        for (int i = 0; i < 20'000; ++i) kept += new_root(Sampler(ratio), rng).sampled() ? 1 : 0;
        const double share = ratio < 0 ? 0 : ratio > 1 ? 1 : ratio;
        EXPECT_NEAR(kept / 20'000.0, share, 0.01) << ratio;
    }
}

TEST(Sampler, DecidesAlikeForTheSameTraceEverywhere) {
    core::Rng rng(kSeed);
    for (int i = 0; i < 100; ++i) {
        const SpanContext root = new_root(Sampler(0.3), rng);
        EXPECT_EQ(Sampler(0.3).keeps(root.trace_id), root.sampled());
        EXPECT_TRUE(!root.sampled() || Sampler(0.4).keeps(root.trace_id));
    }
}

}  // namespace
}  // namespace datapunk::mesh::trace
