#include "routing/traffic_split.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string_view>

#include "core/hash.h"

namespace datapunk::mesh::routing {

namespace {

constexpr std::size_t kServicesMax = 100;        // a split is read by people
constexpr std::uint32_t kWeightMax = 1'000'000;  // sums stay far from 2^64
constexpr std::uint64_t kSeed = 0x73706c6974;    // so that a key's place is not that of a ring's

Error bad(std::string what) {
    return {.code = Code::invalid, .what = std::move(what)};
}

}  // namespace

Result<TrafficSplit> TrafficSplit::create(const std::vector<WeightedService>& services) {
    if (services.size() > kServicesMax) {
        return bad(fmt::format("{} services in a split, at most {}", services.size(), kServicesMax)
        );
    }
    std::set<std::string> seen;
    std::uint64_t sum = 0;
    for (const auto& [service, weight, subset] : services) {
        const std::string name = target_name(service, subset);
        if (!seen.insert(name).second) return bad(fmt::format("\"{}\" is in it twice", name));
        if (weight > kWeightMax) {
            return bad(fmt::format("weight {} of \"{}\" is over {}", weight, service, kWeightMax));
        }
        sum += weight;
    }
    if (sum == 0) return bad("the weights of a split must not all be 0");
    return TrafficSplit(services);
}

TrafficSplit::TrafficSplit(const std::vector<WeightedService>& services) {
    std::uint64_t sum = 0;
    for (const auto& [service, weight, subset] : services) {
        if (weight == 0) continue;
        sum += weight;
        services_.push_back(target_name(service, subset));
        ends_.push_back(sum);
    }
}

const std::string& TrafficSplit::pick(core::Rng& rng) const noexcept {
    return at(rng.below(ends_.back()));
}

const std::string& TrafficSplit::pick(std::string_view key) const noexcept {
    return pick(core::hash64(key));
}

const std::string& TrafficSplit::pick(std::uint64_t hash) const noexcept {
    __extension__ using Wide = unsigned __int128;
    std::array<char, sizeof hash> bytes{};
    std::memcpy(bytes.data(), &hash, sizeof hash);
    const std::uint64_t mixed = core::hash64(std::string_view(bytes.data(), bytes.size()), kSeed);
    return at(static_cast<std::uint64_t>((static_cast<Wide>(mixed) * ends_.back()) >> 64U));
}

const std::string& TrafficSplit::at(std::uint64_t position) const noexcept {
    const auto end = std::upper_bound(ends_.begin(), ends_.end(), position);
    return services_[static_cast<std::size_t>(end - ends_.begin())];
}

}  // namespace datapunk::mesh::routing
