#pragma once

// Decision: what one pick, refusal or retry decision went by, as numbers, so that it can be
// explained later. A thread writes it into a ring of its own (Worker::decisions), ~10 ns; the text
// is made only when somebody asks (explain.h). Bounded: kDecisionsKept of each thread that calls a
// service, 3 KiB.

#include <datapunk/mesh/time.h>

#include <array>
#include <cstdint>
#include <string>

#include "core/record_ring.h"

namespace datapunk::mesh::policy {

struct Decision {
    enum class Kind : std::uint8_t { pick, refusal, retry, hedge };

    static constexpr std::size_t kComparedMax = 4;

    std::int64_t when_ns = 0;
    std::uint64_t call = 0;    // which call: CallState::number
    std::uint32_t picked = 0;  // number of the cell; of a pick
    Kind kind = Kind::pick;
    std::uint8_t attempt = 0;  // from 1; of a refusal: those there were before
    // NoEndpoint::Reason of a refusal, RetryReason of a retry decision, HedgeReason of a hedge's
    std::uint8_t reason = 0;
    std::uint8_t outcome = 0;  // of the attempt that a retry decision is about
    std::uint32_t known = 0;
    std::uint16_t critical = 0;
    std::uint8_t tried = 0;     // endpoints that this call had tried
    std::uint8_t compared = 0;  // how many of the next
    // Refusal: ejected, open, in flight, outside of the subset; the first latency is the wait in ms
    // until the next may be asked, negative = never. Retry, hedge: the wait in ns, two halves.
    // Pick: the cells that were compared.
    std::array<std::uint32_t, kComparedMax> cells{};
    std::array<float, kComparedMax> latency_ms{};  // of those; 0 = has not answered yet
    std::array<std::uint32_t, kComparedMax> in_flight{};
    float tokens = 0;  // of the retry budget, when a retry was decided on
    std::uint32_t unused = 0;
};

static_assert(sizeof(Decision) == 88);

// What cannot be told apart from a thread's other calls is theirs alone: the thread's number, and a
// count of its own, such as the ticket in its ring. The highest bit is free (HeldEndpoint::kHedge).
inline constexpr unsigned kTicketBits = 48;
inline constexpr std::uint64_t kTicketMask = (std::uint64_t{1} << kTicketBits) - 1;
inline constexpr std::uint32_t kThreadMask = (1U << 15U) - 1;

constexpr std::uint64_t numbered(std::uint32_t thread, std::uint64_t ordinal) noexcept {
    return std::uint64_t{thread} << kTicketBits | (ordinal & kTicketMask);
}

inline constexpr std::size_t kDecisionsKept = 32;
using DecisionRing = core::RecordRing<Decision, kDecisionsKept>;

// A decision in words.
struct DecisionText {
    Instant when;
    std::uint64_t call = 0;
    std::size_t order = 0;  // within its thread
    std::string text{};
};

}  // namespace datapunk::mesh::policy
