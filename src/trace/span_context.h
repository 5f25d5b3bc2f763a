#pragma once

// SpanContext: what travels with a call so that its spans join into one trace, and the decision
// whether the trace is kept. The text forms (traceparent) are in wire/. Values; pure.
//
//     trace:  root ──child──> SpanContext{same trace_id, new span_id, same sampled flag}
//
// Sources: W3C Trace Context (ids not all zero; random ids from 16 and 8 bytes), OpenTelemetry's
// ParentBased and TraceIdRatioBased samplers.

#include <array>
#include <cstdint>

#include "core/rng.h"

namespace datapunk::mesh::trace {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

inline constexpr std::uint8_t kSampledFlag = 1;

struct SpanContext {
    TraceId trace_id{};
    SpanId span_id{};
    std::uint8_t flags = 0;

    // The W3C's rule: an id of zeros is no id.
    bool valid() const noexcept { return trace_id != TraceId{} && span_id != SpanId{}; }

    bool sampled() const noexcept { return (flags & kSampledFlag) != 0; }

    friend bool operator==(const SpanContext&, const SpanContext&) = default;
};

// Whether traces that begin here are kept; one that a caller began is kept if the caller keeps it.
class Sampler {
  public:
    // The share of new traces to keep; below 0 is none, above 1 all. With trust_parent false a
    // caller's flag is ignored and the ratio decides again, alike for the whole trace.
    explicit Sampler(double ratio, bool trust_parent = true) noexcept;

    // By the low 8 bytes of the trace id, so that every party with this ratio decides alike.
    bool keeps(const TraceId& id) const noexcept;

    bool trusts_parent() const noexcept { return trust_parent_; }

  private:
    std::uint64_t threshold_;
    bool keep_all_;
    bool trust_parent_;
};

// The first span of a trace that begins here.
SpanContext new_root(const Sampler& sampler, core::Rng& rng) noexcept;

// The span of this process within the caller's trace; a new root if `parent` is not valid.
SpanContext child_of(const SpanContext& parent, const Sampler& sampler, core::Rng& rng) noexcept;

}  // namespace datapunk::mesh::trace
