#pragma once

// MetricRegistry: owns every series of one process (or one mesh in it). Made in main(), passed by
// constructor.
//
//     MetricRegistry registry;
//     const Shard mine = registry.claim_shard();                       // once per loop
//     const Counter ok = registry.counter(names::kRequests, {"api_service", "2xx"}, mine);
//     ok.add();                                                        // no look-up from here on
//
// A family holds at most series_max series. Beyond that, series that nobody holds a handle of are
// dropped, oldest first; if there are none, the look-up gets the family's overflow series and
// mesh_metrics_overflow_total counts it.
//
// Thread-safe. Look-ups and snapshot() take a mutex, the one lock on this floor: families are few
// and look-ups rare, and a lock-free table could not forget the endpoints that have gone. Recording
// takes none.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "metrics/family.h"
#include "metrics/handles.h"

namespace datapunk::mesh::metrics {

struct SeriesSnapshot {
    std::vector<std::string> labels;  // values, in the family's order
    std::variant<std::uint64_t, double, HistogramCounts> value;
};

struct FamilySnapshot {
    const MetricFamily* family = nullptr;
    std::vector<SeriesSnapshot> series;  // in the order of their labels

    double total() const noexcept;   // counters and gauges: the sum of all series
    HistogramCounts merged() const;  // histograms: all series as one
};

struct MetricsSnapshot {
    std::vector<FamilySnapshot> families;  // in the order of their names

    const FamilySnapshot* find(const MetricFamily& family) const noexcept;
};

class MetricRegistry {
  public:
    // A cell of a histogram is 7 KiB a shard, so shards are as many as loops, not as threads.
    static constexpr std::size_t kShardsMax = 65;  // 64 workers and the control loop

    MetricRegistry();
    ~MetricRegistry();
    MetricRegistry(const MetricRegistry&) = delete;
    MetricRegistry& operator=(const MetricRegistry&) = delete;

    // A shard that only the calling loop will write to; the shared one when all are taken.
    Shard claim_shard();

    // One value per label of the family. The family must live as long as the registry.
    Counter counter(
        const MetricFamily& family, std::initializer_list<std::string_view> labels, Shard shard = {}
    );
    Gauge gauge(
        const MetricFamily& family, std::initializer_list<std::string_view> labels, Shard shard = {}
    );
    Histogram histogram(
        const MetricFamily& family, std::initializer_list<std::string_view> labels, Shard shard = {}
    );

    // Not one instant: series are read one after the other while others record.
    MetricsSnapshot snapshot();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace datapunk::mesh::metrics
