#pragma once

// The W3C trace context's two fields: traceparent as a value, tracestate passed on within limits.
//
//   00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//   version   trace id (16 bytes)          parent span id   flags (1 sampled, 2 random)
//
// Values. Source: https://www.w3.org/TR/trace-context-2/.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/rng.h"

namespace datapunk::mesh::wire {

struct TraceParent {
    std::uint64_t trace_high = 0;  // the trace id's first 8 bytes, and its last
    std::uint64_t trace_low = 0;
    std::uint64_t span_id = 0;  // of the span that sent this
    std::uint8_t flags = 0;     // only bits that are defined

    static constexpr std::uint8_t kSampled = 1;
    static constexpr std::uint8_t kRandom = 2;
    static constexpr std::size_t kTextBytes = 55;

    bool is_sampled() const noexcept { return (flags & kSampled) != 0; }

    // The same trace with a new span id: what is sent on.
    TraceParent child(core::Rng& rng) const noexcept;
    // The first span of a new trace.
    static TraceParent root(core::Rng& rng, bool is_sampled) noexcept;

    friend bool operator==(const TraceParent&, const TraceParent&) = default;
};

// Nothing for what must be ignored: then a new trace begins. A higher version is read as far as
// version 00 goes; ff, uppercase digits and all-zero ids are invalid.
std::optional<TraceParent> parse_traceparent(std::string_view text) noexcept;
void append_traceparent(std::string& out, const TraceParent& parent);
std::string format_trace_id(const TraceParent& parent);  // 32 digits
std::string format_span_id(std::uint64_t span_id);       // 16 digits

// As much of a tracestate as may be passed on: at most 32 members and 512 bytes, cut at a member.
// Empty if any member is malformed. A view into `text`.
std::string_view fit_tracestate(std::string_view text) noexcept;

}  // namespace datapunk::mesh::wire
