#pragma once

// HeldEndpoint: what ServicePolicies::begin_attempt() gives: an endpoint, held for one attempt.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <utility>

#include "policy/cell.h"

namespace datapunk::mesh::policy {

class ServicePolicies;

// One attempt at one endpoint. Give it to finish_attempt(); dropped, it counts as abandoned.
class HeldEndpoint {
  public:
    HeldEndpoint(HeldEndpoint&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          line_(other.line_),
          era_(other.era_),
          service_era_(other.service_era_),
          begun_(other.begun_),
          record_(other.record_) {}

    HeldEndpoint& operator=(HeldEndpoint&& other) noexcept;

    ~HeldEndpoint() {
        if (owner_ != nullptr) abandon();
    }

    // Valid until the attempt is finished. Its health and last_check are as when first seen.
    const ServiceEndpoint& endpoint() const noexcept { return line_.cell().endpoint; }

    const std::string& address() const noexcept { return line_.cell().address; }

    Instant begun() const noexcept { return begun_; }

    // The second of two at a time.
    bool is_hedge() const noexcept { return (record_ & kHedge) != 0; }

    // Of the pick that led here; nullptr once it is over.
    ServicePolicies* owner() const noexcept { return owner_; }

  private:
    friend class ServicePolicies;

    static constexpr std::uint64_t kHedge = std::uint64_t{1} << 63U;

    void abandon() noexcept;

    HeldEndpoint(
        ServicePolicies& owner,
        CellLine line,
        std::uint32_t era,
        std::uint32_t service_era,
        Instant now,
        std::uint64_t record
    ) noexcept
        : owner_(&owner),
          line_(line),
          era_(era),
          service_era_(service_era),
          begun_(now),
          record_(record) {}

    bool is_confirmed() const noexcept { return begun_ == kNever; }

    ServicePolicies* owner_;
    CellLine line_;
    std::uint32_t era_;          // of the permits of the endpoint's breaker
    std::uint32_t service_era_;  // and of the service's
    Instant begun_;              // kNever: confirmed
    std::uint64_t record_;       // of its pick: kHedge, the thread's index, the ticket in its ring
};

}  // namespace datapunk::mesh::policy
