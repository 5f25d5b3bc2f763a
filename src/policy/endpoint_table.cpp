// ServicePolicies, the writer's side: from an EndpointSet to the table that pickers read.

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/service_policies.h"

namespace datapunk::mesh::policy {
namespace {

// Still the same endpoint, so that what was learned about it holds.
bool is_same(const ServiceEndpoint& a, const ServiceEndpoint& b) {
    return a.id == b.id && a.host == b.host && a.port == b.port && a.weight == b.weight &&
           a.node == b.node && a.tags == b.tags && a.metadata == b.metadata;
}

// More than anybody calls; what is beyond is a mistake in somebody's metadata.
constexpr std::size_t kDependenciesMax = 256;

// What the endpoints declare, together, sorted.
std::vector<std::string> dependencies_of(const std::vector<std::unique_ptr<Cell>>& cells) {
    std::set<std::string, std::less<>> all;
    for (const auto& cell : cells) {
        if (!cell->has_dependencies) continue;
        for (const std::string_view name : cell->endpoint.dependencies()) {
            if (all.size() < kDependenciesMax) all.emplace(name);
        }
    }
    return {all.begin(), all.end()};
}

}  // namespace

// One that is leaving comes back with all it knows; else a new one.
std::unique_ptr<Cell> ServicePolicies::cell_for(const ServiceEndpoint& endpoint, Instant now) {
    auto at = std::lower_bound(
        leaving_.begin(),
        leaving_.end(),
        endpoint.id,
        [](const auto& cell, const auto& id) { return cell->endpoint.id < id; }
    );
    for (; at != leaving_.end() && (*at)->endpoint.id == endpoint.id; ++at) {
        if (!is_same((*at)->endpoint, endpoint)) continue;
        auto cell = std::move(*at);
        leaving_.erase(at);
        cell->is_listed = true;
        return cell;
    }
    auto cell = std::make_unique<Cell>(loads_, endpoint, rules().breaker, now);
    if (const auto forced = forced_.find(endpoint.id); forced != forced_.end()) {
        CellChange change;
        cell->force(forced->second, now, change);
    }
    std::uint32_t slot = 0;
    while (slot < kNotedSlots && slots_taken_[slot]) ++slot;
    if (slot < kNotedSlots) slots_taken_.set(slot);
    cell->enlist(++last_number_, slot);
    return cell;
}

// Cells taken into the list and out of it, until the next table is published.
struct ServicePolicies::Listing {
    ServicePolicies& owner;
    Instant now;
    // Nobody does in a service that begins itself.
    bool starts_slowly = owner.rules().slow_start.window > Duration::zero() &&
                         !owner.cells_.empty();
    bool moves_dependencies = false;
    std::vector<std::unique_ptr<Cell>> unlisted{};

    void unlist(std::unique_ptr<Cell> cell) {
        moves_dependencies = moves_dependencies || cell->has_dependencies;
        unlisted.push_back(std::move(cell));
    }

    // The endpoint's cell: the one it had, or another one instead of it. `before` may be null.
    std::unique_ptr<Cell> list(std::unique_ptr<Cell> before, const ServiceEndpoint& endpoint) {
        std::unique_ptr<Cell> cell;
        std::optional<Instant> fresh_since;
        if (before != nullptr) {
            // With other weights or metadata it is another cell, but has been warm as long.
            const bool was_here =
                before->endpoint.host == endpoint.host && before->endpoint.port == endpoint.port;
            if (was_here && before->health != Health::critical) fresh_since = before->fresh_since;
            if (is_same(before->endpoint, endpoint)) {
                cell = std::move(before);
            } else {
                unlist(std::move(before));
            }
        }
        const bool is_new = cell == nullptr;
        if (is_new) cell = owner.cell_for(endpoint, now);
        moves_dependencies = moves_dependencies || (is_new && cell->has_dependencies);
        // Also who was critical begins slowly.
        if (starts_slowly) cell->fresh_since = fresh_since.value_or(now);
        if (is_new || cell->health != endpoint.health) {
            cell->health = endpoint.health;
            const std::lock_guard cell_guard(cell->lock);
            cell->results.usable = endpoint.healthy();
        }
        return cell;
    }

    auto place_of(std::string_view id) const {
        return std::lower_bound(
            owner.cells_.begin(),
            owner.cells_.end(),
            id,
            [](const auto& cell, std::string_view wanted) { return cell->endpoint.id < wanted; }
        );
    }

    bool has(std::string_view id) const {
        const auto at = place_of(id);
        return at != owner.cells_.end() && (*at)->endpoint.id == id;
    }

    // Instead of a walk over all endpoints. False, and nothing has happened: it does not lead to a
    // set of so many.
    bool take(const EndpointChange& change, std::size_t left) {
        const auto is_listed = [this](const ServiceEndpoint& one) { return has(one.id); };
        const bool fits =
            change.added.size() + change.removed.size() <= kComingsMax &&
            change.changed.size() <= kChangesMax &&
            owner.cells_.size() + change.added.size() == left + change.removed.size() &&
            std::all_of(change.removed.begin(), change.removed.end(), is_listed) &&
            std::all_of(change.changed.begin(), change.changed.end(), is_listed) &&
            std::none_of(change.added.begin(), change.added.end(), is_listed);
        if (!fits) return false;
        for (const ServiceEndpoint& one : change.removed) {
            const auto at = place_of(one.id);
            unlist(std::move(*at));
            owner.cells_.erase(at);
        }
        for (const ServiceEndpoint& one : change.changed) {
            const auto at = place_of(one.id);
            *at = list(std::move(*at), one);
        }
        for (const ServiceEndpoint& one : change.added) {
            auto cell = list(nullptr, one);
            owner.cells_.insert(place_of(one.id), std::move(cell));
        }
        return true;
    }

    void publish() {
        if (moves_dependencies) owner.dependencies_ = dependencies_of(owner.cells_);
        std::vector<Cell*> gone;
        gone.reserve(unlisted.size());
        auto& leaving = owner.leaving_;
        for (auto& cell : unlisted) {
            cell->is_listed = false;
            ++cell->retirements;
            gone.push_back(cell.get());
            leaving.push_back(std::move(cell));
        }
        std::sort(leaving.begin(), leaving.end(), [](const auto& a, const auto& b) {
            return a->endpoint.id < b->endpoint.id;
        });
        owner.publish_table(std::move(gone), now);
        owner.collect();
    }

    // One by one: each that comes or goes moves those behind it.
    static constexpr std::size_t kComingsMax = 16;
    static constexpr std::size_t kChangesMax = 256;
};

void ServicePolicies::update(const EndpointSetPtr& set, Instant now, const SetStep& step) {
    const std::lock_guard guard(mutex_);
    const bool is_all = rules().subset.empty();
    last_set_ = is_all ? nullptr : set;
    const bool is_next = step.change != nullptr && step.from != 0 && step.from == listed_;
    listed_ = set->generation;
    Listing listing{.owner = *this, .now = now};
    if (is_all && is_next && listing.take(*step.change, set->endpoints.size())) {
        listing.publish();
    } else {
        list(*set, now);
    }
}

void ServicePolicies::update(const EndpointSet& set, Instant now) {
    const std::lock_guard guard(mutex_);
    last_set_ = rules().subset.empty() ? nullptr : std::make_shared<const EndpointSet>(set);
    listed_ = 0;
    list(set, now);
}

void ServicePolicies::list(const EndpointSet& set, Instant now) {
    Listing listing{.owner = *this, .now = now};
    std::vector<std::unique_ptr<Cell>> listed;
    listed.reserve(set.endpoints.size());
    std::size_t old = 0;
    std::uint32_t outside = 0;
    // Both are sorted by id: one walk finds who stays, who leaves and who is new.
    for (const ServiceEndpoint& endpoint : set.endpoints) {
        if (!rules().subset.matches(endpoint)) {
            ++outside;
            continue;
        }
        while (old < cells_.size() && cells_[old]->endpoint.id < endpoint.id) {
            listing.unlist(std::move(cells_[old++]));
        }
        const bool is_known = old < cells_.size() && cells_[old]->endpoint.id == endpoint.id;
        std::unique_ptr<Cell> before = is_known ? std::move(cells_[old++]) : nullptr;
        listed.push_back(listing.list(std::move(before), endpoint));
    }
    while (old < cells_.size()) listing.unlist(std::move(cells_[old++]));
    cells_ = std::move(listed);
    outside_ = outside;
    listing.publish();
}

Result<> ServicePolicies::force_breaker(BreakerForce how, std::string_view endpoint, Instant now) {
    if (endpoint.empty()) {
        resilience::BreakerTransition changed;
        breaker_.force(how, now, changed);
        if (changed) tell(nullptr, changed, now);
        return Ok{};
    }
    const std::lock_guard guard(mutex_);
    std::vector<Cell*> cells;
    for (const auto* list : {&cells_, &leaving_}) {
        for (const auto& cell : *list) {
            if (cell->endpoint.id == endpoint) cells.push_back(cell.get());
        }
    }
    const auto known = forced_.find(endpoint);
    if (cells.empty() && known == forced_.end()) {
        return Error{
            .code = Code::not_found,
            .what = name_ + " has no endpoint " + std::string(endpoint.substr(0, 128))
        };
    }
    if (how == BreakerForce::none) {
        if (known != forced_.end()) forced_.erase(known);
    } else if (known != forced_.end()) {
        known->second = how;
    } else if (forced_.size() >= kForcedMax) {
        return Error{
            .code = Code::exhausted,
            .what = name_ + ": " + std::to_string(kForcedMax) + " endpoints are forced already"
        };
    } else {
        forced_.emplace(endpoint, how);
    }
    for (Cell* cell : cells) {
        CellChange change;
        cell->force(how, now, change);
        if (change.breaker) tell(cell, change.breaker, now);
    }
    return Ok{};
}

std::vector<std::pair<std::string, Instant>> ServicePolicies::take_opened(Instant now) {
    std::vector<std::pair<std::string, Instant>> out;
    const std::lock_guard guard(mutex_);
    for (const auto& cell : cells_) {
        if (cell->load.owner_word.load(std::memory_order_relaxed) != 0) continue;  // closed
        const std::lock_guard cell_guard(cell->lock);
        const Instant until = cell->breaker.next_probe_at();
        const bool is_own = cell->breaker.forced() == BreakerForce::none && until > now;
        if (!is_own || until == cell->opened_until) continue;
        cell->opened_until = until;
        out.emplace_back(cell->endpoint.id, until);
    }
    return out;
}

void ServicePolicies::distrust(std::string_view endpoint, Instant now) {
    const std::lock_guard guard(mutex_);
    const auto at = std::lower_bound(
        cells_.begin(),
        cells_.end(),
        endpoint,
        [](const auto& cell, std::string_view id) { return cell->endpoint.id < id; }
    );
    if (at == cells_.end() || (*at)->endpoint.id != endpoint) return;
    CellChange change;
    (*at)->distrust(now, change);
    if (change.breaker) tell(at->get(), change.breaker, now);
}

void ServicePolicies::collect() {
    retired_.collect();
    // One by one: two of them may have one table of callers, and then the last one keeps it.
    for (auto at = former_limits_.begin(); at != former_limits_.end();) {
        at = (*at)->is_idle() ? former_limits_.erase(at) : at + 1;
    }
    std::erase_if(leaving_, [this](const auto& cell) {
        const bool is_over =
            cell->retirements == 0 && cell->load.in_flight.load(std::memory_order_acquire) == 0;
        if (is_over && cell->slot() != kNoSlot) slots_taken_.reset(cell->slot());
        return is_over;
    });
}

}  // namespace datapunk::mesh::policy
