#pragma once

// HealthMemory: what is remembered of an answer of GET /v1/health/service/:name, so that of the
// next one only what has changed need be read:
//
//   a delta of our registry     patched in; the digest tells if our set is another than its
//   (delta_protocol.h)
//   a whole answer              instances whose bytes are those of last time are not decoded. Real
//                               Consul answers so: 12 MB for 10,000 instances, of which one changed
//
// Instances are told by their fingerprints, a seeded hash of their bytes. There is no memory of
// what could not be patched: few instances, ids that several nodes use, renewals that run out by
// the clock (kUntil in messages.cpp). Some 150 bytes an instance. Pure; not thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "registry/backend.h"
#include "registry/consul/messages.h"

namespace datapunk::mesh::registry::consul {

class HealthMemory final : public AnswerMemory {
  public:
    // What our next question shows: kDeltaHeader.
    std::string_view token() const noexcept;

  private:
    friend class HealthReader;

    struct Instance {
        std::uint64_t node = 0;  // its hash
        std::uint64_t fingerprint = 0;
        std::size_t length = 0;  // of its text
        std::size_t place = 0;   // in order_
    };
    using Instances = std::unordered_map<std::string, Instance>;  // by id

    std::string token_;  // the registry's; empty: it has none
    std::uint64_t seed_ = 0;
    std::uint64_t sum_ = 0;  // of the fingerprints
    Instances instances_;
    std::vector<Instances::value_type*> order_;  // as last told in full; empty: unknown
};

// An answer as it came.
struct HealthAnswer {
    std::string_view body;
    std::string_view token{};              // kDeltaHeader
    std::optional<std::uint64_t> since{};  // kDeltaSinceHeader: it is a delta
    std::uint64_t index = 0;
    WallTime now{};
};

// Reads it with what is remembered of the answer with index `known`; `seed` is ours, for registries
// that have none. Unset: it does not fit what we have, everything must be asked for.
Result<std::optional<News>> read_health(
    const HealthAnswer& answer,
    std::uint64_t known,
    std::unique_ptr<HealthMemory> memory,
    std::uint64_t seed
);

}  // namespace datapunk::mesh::registry::consul
