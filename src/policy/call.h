#pragma once

// What one call carries from attempt to attempt, and what the policies answer it.

#include <datapunk/mesh/limits.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "balance/candidate.h"
#include "policy/call_limits.h"
#include "resilience/deadline.h"

namespace datapunk::mesh::policy {

// One per call, on the caller's stack or in its frame. Not thread-safe.
class CallState {
  public:
    explicit CallState(resilience::Deadline call_deadline) noexcept : deadline(call_deadline) {}

    resilience::Deadline deadline;
    std::uint64_t number = 0;    // of this call in the explanations; 0 until it has begun
    std::uint32_t attempts = 0;  // begun so far, hedges not counted
    std::uint32_t hedges = 0;
    Duration last_wait{};  // before the attempt that is out, or was
    // What the call wants to stay with one endpoint for, hashed; see RingHash.
    std::optional<std::uint64_t> hash{};
    CallPriority priority = CallPriority::normal;
    bool can_wait = false;   // for a place of the limit: see PlaceWait
    bool has_place = false;  // of the limit, that PlaceWait got; begin_attempt uses it up
    // For whom it is made (CallLimits::caller_key); 0 = nobody in particular.
    std::uint64_t caller = 0;
    bool is_admitted = false;  // by rates and bulkheads: asked once, by the first begin_attempt
    CallerPlace caller_place{};

    // Endpoints already asked. Compared only: they may be gone by now.
    std::span<const balance::EndpointLoad* const> tried() const noexcept {
        return std::span(tried_).first(tried_count_);
    }

    std::uint32_t tried_count() const noexcept { return static_cast<std::uint32_t>(tried_count_); }

    // Remembers the last kTriedMax; RetryConfig allows no more attempts than that.
    void add_tried(const balance::EndpointLoad* load) noexcept {
        if (tried_count_ < kTriedMax) tried_[tried_count_++] = load;
    }

    static constexpr std::size_t kTriedMax = 10;

  private:
    std::array<const balance::EndpointLoad*, kTriedMax> tried_;
    std::size_t tried_count_ = 0;
};

// Why no attempt could begin. The counts overlap: an endpoint may be ejected and open.
struct NoEndpoint {
    enum class Reason : std::uint8_t {
        unknown_service,
        none_available,
        breaker_open,
        dependency,
        deadline,
        limited,          // all places of the limit are taken, and of the queue if there is one
        pending_timeout,  // waited long enough for a place
        shed,             // what is left is for calls of a higher class
        rate_limit,       // the rate of the service's calls is used up
        caller_rate,      // that of the caller
        caller_limit,     // the caller has as many calls in flight as it may
        throttled,        // the service would refuse it: it refuses too many
    };

    Reason reason = Reason::none_available;
    bool may_wait = false;  // for a place, and is not counted as refused yet: see PlaceWait
    std::uint32_t known = 0;
    std::uint32_t critical = 0;   // by the registry's checks
    std::uint32_t ejected = 0;    // by their own results
    std::uint32_t open = 0;       // circuit breakers, waiting or with all probes out
    std::uint32_t outside = 0;    // of the policy's subset; not among the known
    std::uint32_t in_flight = 0;  // of this service, when limited
    std::uint32_t limit = 0;      // that was
    Instant next_at = kNever;     // when the first of them may be asked again
    // The call is admitted, but has to wait for its turn: begin_attempt again then. kNever: not so.
    Instant turn_at = kNever;

    friend bool operator==(const NoEndpoint&, const NoEndpoint&) = default;
};

inline constexpr std::size_t kReasons = static_cast<std::size_t>(NoEndpoint::Reason::throttled) + 1;

// As in metrics, logs and x-mesh-reason: "limit", "no_endpoint".
std::string_view to_string(NoEndpoint::Reason reason) noexcept;

// "api_service: 12 known, 9 ejected (5xx in a row), 3 open, next try in 4s".
Error to_error(const NoEndpoint& why, std::string_view service, Instant now);

}  // namespace datapunk::mesh::policy
