#pragma once

// EndpointIndex: which endpoints of a set match a filter, without looking at each of them: for
// every dimension that filters ask for (tags, capabilities, one metadata key) it keeps who has
// which value. A dimension is indexed when first asked for, once per generation of the set; an
// answer is kept for the next who asks the same.
//
// Not thread-safe. Cost for n endpoints: the first question about a dimension O(n); then the size
// of the smallest list among those of the filter's terms; a repeated question one look-up.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/filter.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace datapunk::mesh::discovery {

class EndpointIndex {
  public:
    // Answers are remembered for so many filters; more are answered all the same.
    static constexpr std::size_t kAnswersMax = 32;

    // The endpoints of `set` that match, as a set of its own. Null if `set` is.
    EndpointSetPtr select(EndpointSetPtr set, const DiscoveryFilter& filter);

    // How often endpoints were looked at one by one to index them; for tests.
    std::uint64_t scans() const noexcept { return scans_; }

  private:
    using Positions = std::vector<std::uint32_t>;  // rising
    using ByValue = std::unordered_map<std::string, Positions>;

    void follow(EndpointSetPtr set);
    const Positions& having(const std::string& dimension, const std::string& value);
    Positions positions(const DiscoveryFilter& filter);

    EndpointSetPtr set_;
    std::map<std::string, ByValue> dimensions_;
    std::vector<std::pair<DiscoveryFilter, EndpointSetPtr>> answers_;  // of set_
    std::uint64_t scans_ = 0;
};

}  // namespace datapunk::mesh::discovery
