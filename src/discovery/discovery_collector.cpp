#include "discovery/discovery_collector.h"

#include "discovery/service_discovery.h"
#include "metrics/names.h"

namespace datapunk::mesh::discovery {

namespace names = metrics::names;

DiscoveryCollector::DiscoveryCollector(
    metrics::MetricRegistry& registry, std::string_view registry_kind
)
    : registry_(registry),
      hits_(registry.counter(names::kDiscoveryCacheHits, {"local"})),
      negative_hits_(registry.counter(names::kDiscoveryCacheHits, {"negative"})),
      shared_hits_(registry.counter(names::kDiscoveryCacheHits, {"shared"})),
      snapshot_hits_(registry.counter(names::kDiscoveryCacheHits, {"snapshot"})),
      misses_(registry.counter(names::kDiscoveryCacheMisses, {"local"})),
      shared_misses_(registry.counter(names::kDiscoveryCacheMisses, {"shared"})),
      stale_served_(registry.counter(names::kDiscoveryStaleServed, {})),
      changes_(registry.counter(names::kDiscoveryChanges, {})),
      held_back_(registry.counter(names::kDiscoveryRemovalsHeld, {})),
      index_resets_(registry.counter(names::kDiscoveryIndexResets, {})),
      reconnects_(registry.counter(names::kWatchReconnects, {registry_kind})),
      callback_errors_(registry.counter(names::kWatchCallbackErrors, {})),
      snapshots_written_(registry.counter(names::kSnapshotWrites, {"ok"})),
      snapshots_failed_(registry.counter(names::kSnapshotWrites, {"error"})),
      watches_(registry.gauge(names::kWatchesActive, {})),
      failing_(registry.gauge(names::kWatchesFailing, {})) {}

void DiscoveryCollector::count(const DiscoveryStats& stats) {
    hits_.add((stats.hits - stats.negative_hits) - (counted_.hits - counted_.negative_hits));
    negative_hits_.add(stats.negative_hits - counted_.negative_hits);
    shared_hits_.add(stats.shared_hits - counted_.shared_hits);
    snapshot_hits_.add(stats.snapshot_hits - counted_.snapshot_hits);
    misses_.add(stats.misses - counted_.misses);
    shared_misses_.add(stats.shared_misses - counted_.shared_misses);
    stale_served_.add(stats.stale_served - counted_.stale_served);
    changes_.add(stats.changes - counted_.changes);
    held_back_.add(stats.held_back - counted_.held_back);
    index_resets_.add(stats.index_resets - counted_.index_resets);
    reconnects_.add(stats.reconnects - counted_.reconnects);
    callback_errors_.add(stats.callback_errors - counted_.callback_errors);
    snapshots_written_.add(stats.snapshots_written - counted_.snapshots_written);
    snapshots_failed_.add(stats.snapshots_failed - counted_.snapshots_failed);
    if (counted_.snapshot_load.empty() && !stats.snapshot_load.empty()) {
        registry_.counter(names::kSnapshotLoads, {stats.snapshot_load}).add();
    }
    watches_.set(static_cast<double>(stats.watched));
    failing_.set(static_cast<double>(stats.failing));
    counted_ = stats;
}

void DiscoveryCollector::describe(const SetStatus& set, Instant now) {
    auto found = services_.find(set.service);
    if (found == services_.end()) {
        const std::string name(set.service);
        found = services_
                    .emplace(
                        name,
                        Described{
                            .age = registry_.gauge(names::kDiscoverySetAge, {name}),
                            .stale = registry_.gauge(names::kDiscoverySetStale, {name}),
                            .origin = registry_.gauge(names::kDiscoverySetOrigin, {name})
                        }
                    )
                    .first;
    }
    Described& one = found->second;
    one.is_known = true;
    one.age.set(std::chrono::duration<double>(now - set.learned_at).count());
    one.stale.set(set.stale ? 1 : 0);
    // Whether it was said a moment ago makes no difference here.
    const Origin origin = set.origin == Origin::cache ? Origin::registry : set.origin;
    one.origin.set(static_cast<double>(origin));
}

void DiscoveryCollector::update(const ServiceDiscovery& discovery) {
    count(discovery.stats());
    for (auto& [name, one] : services_) one.is_known = false;
    discovery.for_each_status([&](const SetStatus& set) { describe(set, discovery.now()); });
    for (auto at = services_.begin(); at != services_.end();) {
        Described& one = at->second;
        if (one.is_known) {
            ++at;
            continue;
        }
        one.age.set(0);  // forgotten: nobody has used it for long
        one.stale.set(0);
        at = services_.erase(at);
    }
}

}  // namespace datapunk::mesh::discovery
