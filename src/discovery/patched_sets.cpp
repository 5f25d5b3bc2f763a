#include "discovery/patched_sets.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <string_view>
#include <utility>

#include "discovery/endpoint_diff.h"

namespace datapunk::mesh::discovery {

namespace {

// Endpoints that come or go one by one; more of them are done in one walk.
constexpr std::size_t kOneByOneMax = 4;
// Smaller sets are copied as quickly as kept.
constexpr std::size_t kReserveMin = 256;

bool by_id(const ServiceEndpoint& a, const ServiceEndpoint& b) noexcept {
    return a.id < b.id;
}

template <class Endpoints>
auto place_of(Endpoints& endpoints, std::string_view id) {
    return std::lower_bound(
        endpoints.begin(),
        endpoints.end(),
        id,
        [](const ServiceEndpoint& one, std::string_view wanted) { return one.id < wanted; }
    );
}

template <class Endpoints>
auto find(Endpoints& endpoints, std::string_view id) {
    const auto at = place_of(endpoints, id);
    return at != endpoints.end() && at->id == id ? at : endpoints.end();
}

void merge(std::vector<ServiceEndpoint>& endpoints, const EndpointChange& change) {
    auto gone = change.removed.begin();
    std::erase_if(endpoints, [&](const ServiceEndpoint& one) {
        while (gone != change.removed.end() && gone->id < one.id) ++gone;
        return gone != change.removed.end() && gone->id == one.id;
    });
    std::vector<ServiceEndpoint> merged;
    merged.reserve(endpoints.size() + change.added.size());
    std::merge(
        std::make_move_iterator(endpoints.begin()),
        std::make_move_iterator(endpoints.end()),
        change.added.begin(),
        change.added.end(),
        std::back_inserter(merged),
        by_id
    );
    endpoints = std::move(merged);
}

}  // namespace

EndpointChange effect_of(registry::Patch patch, const std::vector<ServiceEndpoint>& before) {
    EndpointChange change;
    for (ServiceEndpoint& one : patch.changed) {
        const auto at = find(before, one.id);
        if (at == before.end()) {
            change.added.push_back(std::move(one));
        } else if (!is_same(*at, one)) {
            change.changed.push_back(std::move(one));
        }
    }
    for (const std::string& id : patch.removed) {
        const auto at = find(before, id);
        if (at != before.end()) change.removed.push_back(*at);
    }
    return change;
}

void apply_change(std::vector<ServiceEndpoint>& endpoints, const EndpointChange& change) {
    for (const ServiceEndpoint& one : change.changed) {
        const auto at = find(endpoints, one.id);
        if (at != endpoints.end()) *at = one;
    }
    if (change.added.size() + change.removed.size() > kOneByOneMax) {
        return merge(endpoints, change);
    }
    for (const ServiceEndpoint& one : change.removed) {
        const auto at = find(endpoints, one.id);
        if (at != endpoints.end()) endpoints.erase(at);
    }
    for (const ServiceEndpoint& one : change.added) {
        endpoints.insert(place_of(endpoints, one.id), one);
    }
}

// Where a set goes that nobody holds any more.
class PatchedSets::Reserve {
  public:
    void give(std::unique_ptr<EndpointSet> set) {
        if (set->endpoints.size() < kReserveMin) return;
        const std::lock_guard lock(mutex_);
        const bool is_newer = set_ == nullptr || set_->generation < set->generation;
        if (is_newer && !is_closed_) set_.swap(set);
    }  // the other one is freed without the lock

    std::unique_ptr<EndpointSet> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(set_, nullptr);
    }

    void close() {
        const std::lock_guard lock(mutex_);
        is_closed_ = true;
    }

  private:
    std::mutex mutex_;
    std::unique_ptr<EndpointSet> set_;
    bool is_closed_ = false;
};

PatchedSets::PatchedSets() : reserve_(std::make_shared<Reserve>()) {}

PatchedSets::~PatchedSets() {
    reserve_->close();
}

std::shared_ptr<EndpointSet> PatchedSets::fresh() {
    return {new EndpointSet(), [reserve = reserve_](EndpointSet* set) {
                reserve->give(std::unique_ptr<EndpointSet>(set));
            }};
}

// False: it is too old, or of another line.
bool PatchedSets::bring_up_to(EndpointSet& set, const EndpointSet& latest) const {
    if (set.generation > latest.generation) return false;
    std::vector<std::string_view> ids;
    std::uint64_t generation = set.generation;
    for (const Step& step : steps_) {
        if (step.generation <= generation) continue;
        if (step.generation != generation + 1) return false;
        ids.insert(ids.end(), step.ids.begin(), step.ids.end());
        ++generation;
    }
    if (generation != latest.generation) return false;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    EndpointChange change;
    for (const std::string_view id : ids) {
        const auto now = find(latest.endpoints, id);
        const auto then = find(set.endpoints, id);
        if (now == latest.endpoints.end()) {
            if (then != set.endpoints.end()) change.removed.push_back(*then);
        } else {
            (then == set.endpoints.end() ? change.added : change.changed).push_back(*now);
        }
    }
    apply_change(set.endpoints, change);
    return true;
}

std::shared_ptr<EndpointSet> PatchedSets::next(
    const EndpointSet& latest, const EndpointChange& change
) {
    std::shared_ptr<EndpointSet> set = fresh();
    auto kept = reserve_->take();
    if (kept != nullptr && bring_up_to(*kept, latest)) {
        set->endpoints = std::move(kept->endpoints);
    } else {
        set->endpoints = latest.endpoints;
        ++copies_;
    }
    set->generation = latest.generation;
    const bool is_same = change.added.empty() && change.removed.empty() && change.changed.empty();
    if (is_same) return set;
    apply_change(set->endpoints, change);
    ++set->generation;
    Step step{.generation = set->generation, .ids = {}};
    for (const auto* list : {&change.added, &change.removed, &change.changed}) {
        for (const ServiceEndpoint& one : *list) step.ids.push_back(one.id);
    }
    if (step.ids.size() > kStepIdsMax) {
        steps_.clear();
    } else {
        steps_.push_back(std::move(step));
        if (steps_.size() > kStepsMax) steps_.pop_front();
    }
    return set;
}

void PatchedSets::rest() {
    reserve_->take();
    steps_.clear();
}

}  // namespace datapunk::mesh::discovery
