#pragma once

// Answers of health/service that say only what has changed since the index that the client has
// (registry/delta_protocol.h), and the digest by which it finds out if its set is not ours.
//
//     since ──Catalog::health_changes──> changed, gone ──filter, rights──> Changed, Removed
//     every instance's JSON ──hash64──> fingerprint ──sum of what the caller sees──> Digest
//
// Fingerprints are kept for services that somebody follows so, and brought up to date by the same
// history. Some 60 bytes an instance; those of services that have gone go when another is followed.
// One loop's objects. Cost: O(changes); where a filter or rights narrow the view, O(instances).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "catalog/catalog.h"
#include "server/call.h"

namespace datapunk::mesh::server {

class InstanceDigests {
  public:
    // `seed` names this run of the registry, too: unlike any earlier one's.
    explicit InstanceDigests(std::uint64_t seed) : seed_(seed) {}

    std::uint64_t seed() const noexcept { return seed_; }

    // Of one service, as the catalog is now.
    class Service {
      public:
        std::uint64_t sum() const noexcept { return sum_; }

        // Of an instance that the service has.
        std::uint64_t of(const catalog::InstanceRef& ref) const;

      private:
        friend class InstanceDigests;

        std::uint64_t key(std::string_view node, std::string_view id) const;
        void put(const catalog::InstanceRef& ref, std::string_view datacenter);
        void forget(std::string_view node, std::string_view id);

        std::uint64_t seed_ = 0;
        std::uint64_t index_ = 0;  // as of
        std::uint64_t notes_ = 0;  // and of what moved no index
        std::uint64_t sum_ = 0;
        std::unordered_map<std::uint64_t, std::uint64_t> fingerprints_;
        std::string buffer_;
    };

    const Service& of(
        const catalog::Catalog& catalog, const std::string& name, std::string_view datacenter
    );

  private:
    std::uint64_t seed_;
    std::map<std::string, Service> services_;
};

// What the client asked for, beside the call: `name` is that of the whole answer, and of nothing
// else (AnswerCache).
struct HealthView {
    const std::string& name;
    const catalog::ServiceFilter& filter;
    std::uint64_t index;
};

// Nothing: the client has to be told everything.
std::optional<http::Response> delta_answer(
    const Context& context, const Call& call, const ReadOptions& options, const HealthView& view
);
// Tells a client that understands it how to ask for changes next time.
void offer_delta(
    const Context& context, const Call& call, const HealthView& view, http::Response& whole
);

}  // namespace datapunk::mesh::server
