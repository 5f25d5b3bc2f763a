#pragma once

// What every balancing algorithm works on.
//
//   EndpointLoad   one cache line per endpoint, owned elsewhere, outlives any balancer built on it;
//                  in-flight count, latency average, until when to leave it out
//   Candidate      one row of a balancer's immutable table: which EndpointLoad, which weight
//   PickState      what one picking thread or loop carries along: luck and a cursor
//   PickQuery      one pick's question: the time, and what this call has tried already
//
// Threads: a balancer is immutable, any number of threads pick from it at once, each with its own
// PickState. A pick writes nothing that is shared. EndpointLoad's fields are relaxed atomics:
// each is meaningful alone, none orders anything else.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "core/rng.h"

namespace datapunk::mesh::balance {

inline constexpr std::size_t kCacheLineBytes = 64;

// What an owner of EndpointLoads derives from.
struct LoadOwner {};

struct EndpointLoad {
    // Written by peak_ewma's record_answer(). 0 = has not answered yet.
    alignas(kCacheLineBytes) std::atomic<double> latency_ns{0};
    std::atomic<std::int64_t> latency_at{0};
    std::atomic<float> usual_calls{1};  // in flight with those answers, themselves included
    std::atomic<std::uint32_t> in_flight{0};
    // Steady-clock nanoseconds; left out of picks before then (ejected, breaker open). The minimum
    // means available.
    std::atomic<std::int64_t> unavailable_until{std::numeric_limits<std::int64_t>::min()};
    // The owner's: kept on this line because whoever picks the endpoint reads them next, and writes
    // them with the answer. Not read here.
    std::atomic<std::uint32_t> owner_word{0};
    std::atomic<std::uint32_t> owner_count{0};
    std::uint32_t owner_number = 0;  // it and the next two do not change while anybody picks
    std::uint32_t owner_slot = 0;
    LoadOwner* owner = nullptr;

    bool available(Instant now) const noexcept {
        return unavailable_until.load(std::memory_order_relaxed) <= now.time_since_epoch().count();
    }
};

// A pick touches one line of each endpoint that it compares, and the attempt at the chosen one that
// same line.
static_assert(sizeof(EndpointLoad) == kCacheLineBytes);

struct Candidate {
    const EndpointLoad* load = nullptr;
    std::uint32_t weight = 1;  // relative share, at least 1
    // Who this is to algorithms that hash: core::hash64 of the endpoint's id, the same everywhere.
    std::uint64_t key = 0;
    const ServiceEndpoint* endpoint =
        nullptr;  // for algorithms of the user's; not looked into here
};

struct PickState {
    explicit PickState(std::uint64_t seed) noexcept : rng(seed), cursor(rng()) {
        for (std::uint64_t apart = cursor; auto& group : group_cursors) {
            group = apart += 0x9e3779b97f4a7c15U;
        }
    }

    core::Rng rng;
    std::uint64_t cursor;     // round robin's place; starts at random, so that threads do not march
    double typical_cost = 0;  // peak_ewma: what this thread's picks cost lately; 0 = none yet
    // The candidates that the last pick compared, for those who explain it; the first kComparedMax.
    // Algorithms that compare nothing leave it alone: whoever reads it clears it before the pick.
    static constexpr std::uint32_t kComparedMax = 4;
    std::uint32_t compared_count = 0;
    std::array<const EndpointLoad*, kComparedMax> compared{};
    std::array<std::uint64_t, 8> group_cursors{};  // the cursor's values in groups of endpoints

    void note_compared(const EndpointLoad* load) noexcept {
        if (compared_count < kComparedMax) compared[compared_count++] = load;
    }
};

struct PickQuery {
    Instant now{};
    std::span<const EndpointLoad* const> tried{};  // by this call; compared, never looked into
    // What the call wants to stay with one endpoint for: a session, a user. For those that hash.
    std::optional<std::uint64_t> hash{};
    // All candidates' calls in flight together, as far as known; for bounded loads.
    std::uint64_t in_flight = 0;

    bool excludes(const EndpointLoad* load) const noexcept {
        if (!load->available(now)) return true;
        return !tried.empty() && std::find(tried.begin(), tried.end(), load) != tried.end();
    }
};

// Draws before an algorithm gives up on luck and looks at every candidate: with half of them
// excluded one pick in 256 does so.
inline constexpr int kDrawsMax = 8;

// The slow path, O(n) and exact: one of the included candidates with probability by weight.
std::optional<std::uint32_t> scan_by_weight(
    std::span<const Candidate> candidates, const PickQuery& query, core::Rng& rng
) noexcept;

}  // namespace datapunk::mesh::balance
