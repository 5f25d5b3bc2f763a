#include "discovery/removal_hold.h"

#include <algorithm>
#include <utility>

#include "core/assert.h"

namespace datapunk::mesh::discovery {

namespace {

bool by_id(const ServiceEndpoint& a, const ServiceEndpoint& b) noexcept {
    return a.id < b.id;
}

}  // namespace

void RemovalHold::distrust_until(Instant until) noexcept {
    distrusted_until_ = std::max(distrusted_until_.value_or(until), until);
}

void RemovalHold::expect_removal(std::string id, Instant now) {
    std::erase_if(expected_, [now](const auto& entry) { return entry.second <= now; });
    if (expected_.size() < kExpectedMax) expected_[std::move(id)] = now + kExpectedFor;
}

bool RemovalHold::take_expected(std::string_view id) {
    const auto found = expected_.find(id);
    if (found == expected_.end()) return false;
    expected_.erase(found);
    return true;
}

std::optional<Instant> RemovalHold::confirm_at() const noexcept {
    std::optional<Instant> first;
    for (const auto& [id, gone_from] : held_) {
        if (!first || gone_from < *first) first = gone_from;
    }
    return first;
}

std::vector<ServiceEndpoint> RemovalHold::settle(
    const std::vector<ServiceEndpoint>& current, std::vector<ServiceEndpoint> fresh, Instant now
) {
    MESH_ASSERT(std::is_sorted(fresh.begin(), fresh.end(), by_id));
    std::erase_if(expected_, [now](const auto& entry) { return entry.second <= now; });
    std::vector<const ServiceEndpoint*> missing;
    std::size_t expected = 0;
    auto seen = fresh.begin();
    for (const ServiceEndpoint& endpoint : current) {
        while (seen != fresh.end() && seen->id < endpoint.id) ++seen;
        if (seen != fresh.end() && seen->id == endpoint.id) {
            if (!held_.empty()) held_.erase(endpoint.id);
        } else if (take_expected(endpoint.id)) {
            held_.erase(endpoint.id);
            ++expected;
        } else {
            missing.push_back(&endpoint);
        }
    }
    if (missing.empty()) return fresh;

    const bool is_distrusted = distrusted_until_ && now < *distrusted_until_;
    const auto known = static_cast<double>(current.size() - expected);
    const bool is_shrunken =
        fresh.empty() || static_cast<double>(missing.size()) > share_max_ * known;
    const bool is_suspicious = is_distrusted || (is_shrunken && grace_ > Duration::zero());
    std::vector<ServiceEndpoint> kept;
    for (const ServiceEndpoint* endpoint : missing) {
        const auto found = held_.find(endpoint->id);
        if (found != held_.end()) {
            if (now < found->second) {
                kept.push_back(*endpoint);
            } else {
                held_.erase(found);
            }
        } else if (is_suspicious) {
            const Instant until = is_distrusted ? *distrusted_until_ : now;
            held_[endpoint->id] = std::max(now + grace_, until);
            ++held_total_;
            kept.push_back(*endpoint);
        }
    }
    fresh.insert(
        fresh.end(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end())
    );
    std::sort(fresh.begin(), fresh.end(), by_id);
    return fresh;
}

bool RemovalHold::lets_go(
    const std::vector<ServiceEndpoint>& removed, std::size_t known, std::size_t left, Instant now
) {
    if (!held_.empty()) return false;
    std::erase_if(expected_, [now](const auto& entry) { return entry.second <= now; });
    const auto missing = static_cast<std::size_t>(std::count_if(
        removed.begin(),
        removed.end(),
        [this](const ServiceEndpoint& one) { return !expected_.contains(one.id); }
    ));
    if (missing > 0) {
        const bool is_distrusted = distrusted_until_ && now < *distrusted_until_;
        const auto counted = static_cast<double>(known - (removed.size() - missing));
        const bool is_shrunken = left == 0 || static_cast<double>(missing) > share_max_ * counted;
        if (is_distrusted || (is_shrunken && grace_ > Duration::zero())) return false;
    }
    for (const ServiceEndpoint& one : removed) take_expected(one.id);
    return true;
}

}  // namespace datapunk::mesh::discovery
