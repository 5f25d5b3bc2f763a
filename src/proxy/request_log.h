#pragma once

// RequestLog: what became of the last requests, in numbers, so that somebody who holds a request's
// id can be told: its route, whom each attempt was compared with and asked, how long that took, and
// why there was no other. A ring of fixed size for each worker, written by it without a lock and
// read by the admin API; kRequestsKept x 488 bytes a worker, whatever happens. The text is made
// only when somebody asks.
//
// A request's id: the caller's x-request-id; and the trace id of its traceparent, which every
// request has (proxy/proxy.h, continue_trace).

#include <datapunk/mesh/time.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/record_ring.h"
#include "policy/service_policies.h"
#include "resilience/retry_policy.h"

namespace datapunk::mesh::proxy {

struct AttemptRecord {
    policy::Decision pick;
    std::uint32_t began_us = 0;  // after the request had arrived
    std::uint32_t took_us = 0;   // to the head of its answer, or to its failure
    std::uint16_t status = 0;    // of its answer; 0 = none came
    std::uint8_t outcome = 0;    // resilience::Outcome
    std::uint8_t decision = 0;   // resilience::RetryReason of what followed
    std::uint32_t wait_us = 0;   // before the next
};

struct RequestRecord {
    static constexpr std::size_t kAttemptsKept = 4;
    static constexpr std::size_t kRouteBytes = 24;

    std::uint64_t request_id = 0;  // id_hash() of x-request-id; 0 = there was none
    std::uint64_t trace_id = 0;    // of the trace id
    std::int64_t arrived_ns = 0;
    std::uint32_t took_us = 0;
    std::uint16_t status = 0;               // given to the caller; 0 = none, or it was cut off
    std::uint8_t own_reason = 0;            // 1 + ReplyReason, if the answer was ours
    std::uint8_t attempts = 0;              // all of them; the first kAttemptsKept are below
    std::uint64_t service = 0;              // the address of its policies; 0 = none was found
    std::array<char, kRouteBytes> route{};  // the beginning of its name
    std::array<AttemptRecord, kAttemptsKept> tried{};
};

inline constexpr std::size_t kRequestsKept = 512;  // 244 KiB; at 100 requests a second, 5 s
using RequestRing = core::RecordRing<RequestRecord, kRequestsKept>;

// Never 0.
std::uint64_t id_hash(std::string_view id) noexcept;

class RequestLog {
  public:
    // For one worker, which alone writes it; as long as this lives.
    RequestRing& add_worker();

    // Those whose x-request-id or trace id that is, oldest first.
    std::vector<RequestRecord> find(std::string_view id) const;

  private:
    mutable std::mutex mutex_;  // of the list
    std::vector<std::unique_ptr<RequestRing>> rings_;
};

// One line each: the request, its attempts, its end. `service` is the record's, or null.
std::vector<std::string> in_words(
    const RequestRecord& record, const policy::ServicePolicies* service
);

}  // namespace datapunk::mesh::proxy
