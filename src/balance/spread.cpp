#include "balance/spread.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "balance/aperture.h"
#include "balance/subset.h"
#include "core/hash.h"

namespace datapunk::mesh::balance {
namespace {

struct Level {
    std::uint32_t priority = 0;
    std::vector<std::uint32_t> members;
    double weight = 0;
    double not_critical = 0;
    double usable = 0;  // of that, available
    double share = 0;
    bool is_panic = false;
};

struct Zone {
    std::string_view name;
    std::vector<std::uint32_t> members;
    double usable = 0;
    double share = 0;
};

class Spreading {
  public:
    Spreading(std::span<const SpreadMember> members, const SpreadRules& rules)
        : members_(members), rules_(rules) {}

    std::vector<SpreadGroup> groups() {
        find_levels();
        share_levels();
        for (Level& level : levels_) spread_level(level);
        // Those that nobody asks come last within their level already; keep levels in order.
        return std::move(groups_);
    }

  private:
    void find_levels() {
        if (rules_.failover.metadata.empty()) {
            Level& all = levels_.emplace_back();
            all.members.resize(members_.size());
            for (std::uint32_t i = 0; i < members_.size(); ++i) all.members[i] = i;
        } else {
            std::map<std::uint32_t, std::vector<std::uint32_t>> by_priority;
            for (std::uint32_t i = 0; i < members_.size(); ++i) {
                by_priority[priority_of(*members_[i].endpoint, rules_.failover.metadata)].push_back(
                    i
                );
            }
            for (auto& [priority, members] : by_priority) {
                levels_.push_back({.priority = priority, .members = std::move(members)});
            }
        }
        for (Level& level : levels_) {
            for (const std::uint32_t i : level.members) {
                const SpreadMember& member = members_[i];
                level.weight += member.weight;
                if (member.is_critical) continue;
                level.not_critical += member.weight;
                if (member.is_available) level.usable += member.weight;
            }
        }
    }

    // By what is usable at the moment, or if nothing is, by what could be.
    void share_levels() {
        bool enough = take_shares(&Level::usable);
        if (sum_of_shares() == 0) enough = take_shares(&Level::not_critical);
        decide_panic(enough);
        if (sum_of_shares() > 0 || levels_.empty()) return;
        for (Level& level : levels_) {
            if (!level.is_panic) continue;
            level.share = 1;
            return;
        }
    }

    double sum_of_shares() const {
        double sum = 0;
        for (const Level& level : levels_) sum += level.share;
        return sum;
    }

    // Whether the levels together can take everything.
    bool take_shares(double Level::* capacity) {
        double left = 1;
        for (Level& level : levels_) {
            const double health = level.weight > 0 ? level.*capacity / level.weight : 0;
            level.share = std::min(left, health * rules_.failover.overprovisioning);
            left -= level.share;
        }
        if (left <= 0) return true;
        if (left >= 1) return false;
        for (Level& level : levels_) level.share /= 1 - left;
        return false;
    }

    void decide_panic(bool enough) {
        if (!rules_.panic.enabled) return;
        bool any_not_critical = false;
        for (const Level& level : levels_) any_not_critical |= level.not_critical > 0;
        for (Level& level : levels_) {
            if (!any_not_critical) {
                level.is_panic = true;
            } else if (levels_.size() == 1 || !enough) {
                // Compared without dividing, so that 100 % means exactly all.
                level.is_panic =
                    level.not_critical > 0 &&
                    level.not_critical * 100 < rules_.panic.healthy_percent * level.weight;
            }
        }
    }

    void spread_level(Level& level) {
        std::vector<std::uint32_t> members;
        for (const std::uint32_t i : level.members) {
            if (level.is_panic || !members_[i].is_critical) members.push_back(i);
        }
        if (members.empty()) return;
        std::vector<Zone> zones = zones_of(level, members);
        if (zones.empty()) {
            add_group(level, std::move(members), level.share, true);
            return;
        }
        std::vector<std::uint32_t> rest;
        for (Zone& zone : zones) {
            const bool is_own = zone.name == rules_.zones.own;
            if (zone.members.empty()) continue;
            if (zone.share > 0 || is_own) {
                add_group(level, std::move(zone.members), level.share * zone.share, is_own);
            } else {
                rest.insert(rest.end(), zone.members.begin(), zone.members.end());
            }
        }
        if (!rest.empty()) add_group(level, std::move(rest), 0, false);
    }

    // With their shares, the own one first; empty if zones do not matter.
    std::vector<Zone> zones_of(const Level& level, std::span<const std::uint32_t> members) const {
        const ZonesConfig& config = rules_.zones;
        if (!config.prefer_own || level.is_panic) return {};
        std::map<std::string_view, Zone> by_name;
        // Also zones whose endpoints are all critical: their callers are still there.
        for (const std::uint32_t i : level.members) by_name[members_[i].endpoint->zone()];
        const auto own = by_name.find(config.own);
        if (own == by_name.end() || by_name.size() < 2) return {};
        double usable = 0;
        std::uint32_t count = 0;
        for (const std::uint32_t i : members) {
            Zone& zone = by_name[members_[i].endpoint->zone()];
            zone.members.push_back(i);
            if (!members_[i].is_available) continue;
            zone.usable += members_[i].weight;
            usable += members_[i].weight;
            ++count;
        }
        if (count < config.endpoints_min) return {};
        std::vector<Zone> zones;
        for (auto& [name, zone] : by_name) {
            zone.name = name;
            zones.push_back(std::move(zone));
        }
        const auto mine = std::find_if(zones.begin(), zones.end(), [&](const Zone& zone) {
            return zone.name == config.own;
        });
        std::rotate(zones.begin(), mine, mine + 1);
        share_zones(zones, usable);
        return zones;
    }

    void share_zones(std::vector<Zone>& zones, double usable) const {
        const auto others = static_cast<double>(zones.size() - 1);
        const double own_callers =
            rules_.zones.callers_share > 0 ? rules_.zones.callers_share : 1 / (others + 1);
        const double other_callers = (1 - own_callers) / others;
        const double own_usable = zones[0].usable / usable;
        zones[0].share = std::min(1.0, own_usable / own_callers);
        const double left = 1 - zones[0].share;
        if (left <= 0) return;
        const auto more_than_share = [&](const Zone& zone) {
            return std::max(0.0, zone.usable / usable - other_callers);
        };
        double sum = 0;
        for (std::size_t i = 1; i < zones.size(); ++i) sum += more_than_share(zones[i]);
        // The own zone has too little, so that some other has too much; but for rounding.
        for (std::size_t i = 1; i < zones.size(); ++i) {
            zones[i].share = sum > 1e-12 ? left * more_than_share(zones[i]) / sum
                                         : left * zones[i].usable / (usable - zones[0].usable);
        }
    }

    void add_group(
        const Level& level, std::vector<std::uint32_t> members, double share, bool is_own_zone
    ) {
        SpreadGroup group{
            .members = {},
            .share = share,
            .priority = level.priority,
            .is_own_zone = is_own_zone,
            .is_panic = level.is_panic
        };
        SpreadGroup outside = group;
        outside.share = 0;
        const SubsettingConfig& config = rules_.subsetting;
        switch (config.by) {
            case SubsettingConfig::Kind::none:
                group.members = std::move(members);
                break;
            case SubsettingConfig::Kind::rendezvous:
                take_rendezvous(members, group, outside);
                break;
            case SubsettingConfig::Kind::aperture:
                take_aperture(level, members, group, outside);
                break;
        }
        if (group.members.empty()) {  // nobody in the aperture is healthy
            outside.share = share;
            std::swap(group, outside);
        }
        groups_.push_back(std::move(group));
        if (!outside.members.empty()) groups_.push_back(std::move(outside));
    }

    void take_rendezvous(
        std::span<const std::uint32_t> members, SpreadGroup& group, SpreadGroup& outside
    ) const {
        std::vector<std::uint64_t> keys;
        keys.reserve(members.size());
        for (const std::uint32_t i : members) keys.push_back(members_[i].key);
        std::size_t next = 0;
        const auto chosen = subset_of(keys, rules_.subsetting.size, rules_.caller_seed);
        for (std::uint32_t i = 0; i < members.size(); ++i) {
            const bool is_chosen = next < chosen.size() && chosen[next] == i;
            if (is_chosen) ++next;
            (is_chosen ? group : outside).members.push_back(members[i]);
        }
    }

    // The ring is of all endpoints of the level, the critical ones too.
    void take_aperture(
        const Level& level,
        std::span<const std::uint32_t> members,
        SpreadGroup& group,
        SpreadGroup& outside
    ) const {
        std::vector<std::uint32_t> ring = level.members;
        // By hash: neighbours in the list are often neighbours in a rack.
        std::sort(ring.begin(), ring.end(), [this](std::uint32_t a, std::uint32_t b) {
            return members_[a].key < members_[b].key;
        });
        std::vector<std::uint32_t> weights;
        weights.reserve(ring.size());
        for (const std::uint32_t i : ring) weights.push_back(members_[i].weight);
        const SubsettingConfig& config = rules_.subsetting;
        const auto parts =
            aperture_parts(weights, config.size, config.caller_index, config.callers);
        std::vector<double> part_of(members_.size(), 0.0);
        for (std::size_t place = 0; place < ring.size(); ++place)
            part_of[ring[place]] = parts[place];
        for (const std::uint32_t i : members) {
            if (part_of[i] > 0) {
                group.members.push_back(i);
                group.parts.push_back(part_of[i]);
            } else {
                outside.members.push_back(i);
            }
        }
    }

    std::span<const SpreadMember> members_;
    const SpreadRules& rules_;
    std::vector<Level> levels_;
    std::vector<SpreadGroup> groups_;
};

}  // namespace

SpreadRules rules_of(const ServicePolicy& policy, std::uint64_t fallback) {
    const std::string& caller = policy.subsetting.caller;
    return {
        .zones = policy.zones,
        .failover = policy.failover,
        .panic = policy.panic,
        .subsetting = policy.subsetting,
        .caller_seed = caller.empty() ? fallback : core::hash64(caller)
    };
}

std::uint32_t priority_of(const ServiceEndpoint& endpoint, const std::string& metadata) noexcept {
    const std::string_view text = endpoint.meta(metadata);
    std::uint32_t priority = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), priority);
    const bool is_one =
        error == std::errc{} && end == text.data() + text.size() && priority <= kPriorityMax;
    return is_one ? priority : 0;
}

std::vector<SpreadGroup> spread(std::span<const SpreadMember> members, const SpreadRules& rules) {
    if (members.empty()) return {};
    return Spreading(members, rules).groups();
}

}  // namespace datapunk::mesh::balance
