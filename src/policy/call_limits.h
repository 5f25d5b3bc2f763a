#pragma once

// CallLimits: whether a call may begin at all, before anything is picked for it: the rate of all
// calls, and rate and bulkhead of its caller. For a service (ServicePolicies has one), or for
// whatever else has such limits: it is made of plain values and knows nothing of services.
//
//   begin(caller) ─► the caller's entry ─► the rate of all ─► admitted: at once, or at a time
//                          │ caller_rate, caller_limit  │ rate_limit
//                          └────────── refused, and when it is worth asking again
//
// The caller's own limits come first, so that one that is over them takes nothing from the others.
// What the rate of all then refuses has cost its caller a token all the same: it did ask.
//
// A caller that is admitted holds a CallerPlace for as long as the call lasts, waits and retries
// included; so no caller has more than its part of the places, nor of a queue for them.
//
// Threads: any. Without limits per caller no lock and no allocation; with them a spin lock of one
// of kShards, and an allocation for a caller that is new.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "balance/candidate.h"
#include "policy/spin_lock.h"
#include "resilience/caller_limits.h"
#include "resilience/rate_limit.h"

namespace datapunk::mesh::policy {

// How it is known who calls. Part of the key: a name in a header is not the identity that it says.
enum class CallerKind : std::uint8_t { identity, header, address, told };

class CallLimits;

// One of a caller's calls in flight, until it is destroyed. May outlive its call, never its
// CallLimits.
class CallerPlace {
  public:
    CallerPlace() noexcept = default;

    CallerPlace(CallerPlace&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          shard_(other.shard_),
          entry_(other.entry_) {}

    CallerPlace& operator=(CallerPlace&& other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(shard_, other.shard_);
        std::swap(entry_, other.entry_);
        return *this;
    }

    ~CallerPlace();

    bool is_held() const noexcept { return owner_ != nullptr; }

  private:
    friend class CallLimits;

    CallerPlace(CallLimits& owner, std::uint32_t shard, std::uint32_t entry) noexcept
        : owner_(&owner), shard_(shard), entry_(entry) {}

    CallLimits* owner_ = nullptr;
    std::uint32_t shard_ = 0;
    std::uint32_t entry_ = 0;
};

class CallLimits {
  public:
    enum class Verdict : std::uint8_t { admitted, rate_limit, caller_rate, caller_limit };

    struct Decision {
        Verdict verdict = Verdict::admitted;
        Duration wait{};              // until its turn; of a refused call, until it may ask again
        std::uint32_t in_flight = 0;  // of this caller, when refused for that
    };

    // Configs in their ranges. `seed` is not known to callers: it keeps them from choosing names
    // that meet.
    // `is_shared`: `rate` is that of all processes that exchange its slice.
    CallLimits(
        const RateLimitConfig& rate,
        const CallersConfig& callers,
        std::uint64_t seed,
        bool is_shared = false
    );
    CallLimits(const CallLimits&) = delete;
    CallLimits& operator=(const CallLimits&) = delete;

    // Anything to ask about? Otherwise begin() admits.
    bool is_on() const noexcept { return rate_.is_on() || limits_callers(); }

    // To be exchanged; null if the rate is not shared.
    std::shared_ptr<resilience::LeasedSlice> slice() const noexcept { return rate_.slice(); }

    // Whether it matters who calls.
    bool limits_callers() const noexcept { return shards_ != nullptr; }

    // For begin(); never 0.
    std::uint64_t caller_key(CallerKind kind, std::string_view who) const noexcept;

    // `caller` 0: nobody in particular. `patience`: how long the call can wait for its turn.
    // `place` is taken if its caller's calls are counted.
    [[nodiscard]] Decision begin(
        std::uint64_t caller, Instant now, Duration patience, CallerPlace& place
    );

    std::size_t callers() const noexcept;

    // No place is held. Once it begins nothing any more, it may go then.
    bool is_idle() const noexcept;

  private:
    friend class CallerPlace;

    static constexpr std::uint32_t kShards = 16;

    struct alignas(balance::kCacheLineBytes) Shard {
        explicit Shard(const CallersConfig& config)
            : limits(config.rate, config.requests, std::max(1U, config.max / kShards)) {}

        mutable SpinLock lock;
        resilience::CallerLimits limits;
        std::uint32_t held = 0;  // places
    };

    void release(std::uint32_t shard, std::uint32_t entry) noexcept;

    const std::uint64_t seed_;
    resilience::RateLimit rate_;
    std::unique_ptr<std::array<std::unique_ptr<Shard>, kShards>> shards_;  // null: none per caller
};

inline CallerPlace::~CallerPlace() {
    if (owner_ != nullptr) owner_->release(shard_, entry_);
}

}  // namespace datapunk::mesh::policy
