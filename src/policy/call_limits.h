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
// Immutable but for what it counts; another policy is another CallLimits.
//
// Threads: any. Without limits per caller no lock and no allocation; with them a spin lock of one
// of kShards, and an allocation for a caller that is new.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "balance/candidate.h"
#include "policy/spin_lock.h"
#include "resilience/caller_limits.h"
#include "resilience/leased.h"
#include "resilience/rate_limit.h"

namespace datapunk::mesh::policy {

// How it is known who calls. Part of the key: a name in a header is not the identity that it says.
enum class CallerKind : std::uint8_t { identity, header, address, told };

class CallersTable;

// One of a caller's calls in flight, until it is destroyed. May outlive its call, never its
// CallersTable.
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
    friend class CallersTable;

    CallerPlace(CallersTable& owner, std::uint32_t shard, std::uint32_t entry) noexcept
        : owner_(&owner), shard_(shard), entry_(entry) {}

    CallersTable* owner_ = nullptr;
    std::uint32_t shard_ = 0;
    std::uint32_t entry_ = 0;
};

// The callers that are remembered, each with its rate and its calls in flight.
class CallersTable {
  public:
    explicit CallersTable(const CallersConfig& config);
    CallersTable(const CallersTable&) = delete;
    CallersTable& operator=(const CallersTable&) = delete;

    // `place` is taken if it is admitted.
    resilience::CallerLimits::Decision begin(
        std::uint64_t caller, Instant now, Duration patience, CallerPlace& place
    );

    std::size_t size() const noexcept;
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

    std::array<std::unique_ptr<Shard>, kShards> shards_;
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
    // In the place of `before`, which has other rules and may still be asked for a moment. What is
    // the same in both is one object: nothing is forgotten, and nothing counted apart. A rate that
    // is another goes on from what the old one has left.
    CallLimits(const LimitsConfig& limits, const CallLimits& before, Instant now);
    CallLimits(const CallLimits&) = delete;
    CallLimits& operator=(const CallLimits&) = delete;

    // Anything to ask about? Otherwise begin() admits.
    bool is_on() const noexcept { return is_on_; }

    // To be exchanged; nothing if the rate is not shared.
    std::optional<resilience::Leased> leased() const { return rate_->leased(); }

    // Whether it matters who calls.
    bool limits_callers() const noexcept { return callers_ != nullptr; }

    // For begin(); never 0.
    std::uint64_t caller_key(CallerKind kind, std::string_view who) const noexcept;

    // `caller` 0: nobody in particular. `patience`: how long the call can wait for its turn.
    // `place` is taken if its caller's calls are counted.
    [[nodiscard]] Decision begin(
        std::uint64_t caller, Instant now, Duration patience, CallerPlace& place
    );

    std::size_t callers() const noexcept { return callers_ == nullptr ? 0 : callers_->size(); }

    // No place is held in what this one alone has. Once it begins nothing any more, it may go then.
    bool is_idle() const noexcept {
        return callers_ == nullptr || callers_.use_count() > 1 || callers_->is_idle();
    }

  private:
    const std::uint64_t seed_;
    const RateLimitConfig rate_config_;
    const CallersConfig callers_config_;
    const bool is_shared_;
    const std::shared_ptr<resilience::RateLimit> rate_;
    const std::shared_ptr<CallersTable> callers_;  // null: no limits for each
    const bool is_on_;
};

inline CallerPlace::~CallerPlace() {
    if (owner_ != nullptr) owner_->release(shard_, entry_);
}

}  // namespace datapunk::mesh::policy
