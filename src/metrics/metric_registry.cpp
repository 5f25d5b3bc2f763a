#include "metrics/metric_registry.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/assert.h"
#include "core/utf8.h"
#include "metrics/names.h"

namespace datapunk::mesh::metrics {

namespace {

using Labels = std::vector<std::string>;

template <class Cell>
using Cells = std::vector<std::unique_ptr<Cell>>;  // by shard, made when first wanted

struct Series {
    std::atomic<std::uint32_t> holders{0};
    std::uint64_t made = 0;  // order of making, for dropping the oldest
    std::variant<Cells<CounterCell>, Cells<GaugeCell>, Cells<HistogramCell>> cells;

    // Acquire pairs with SeriesHold's release: whoever sees no holder sees their last recording.
    bool is_held() const noexcept { return holders.load(std::memory_order_acquire) != 0; }
};

struct FamilyState {
    const MetricFamily* family = nullptr;
    std::map<Labels, Series> series;
    std::unique_ptr<Series> overflow;
    std::size_t unsearched = 0;  // requests that need not look for a series to drop
};

// Expositions must be UTF-8 and a series must not cost more memory than its numbers.
std::string label_value(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const std::size_t size = core::utf8_bytes(text);
        const std::size_t take = std::max<std::size_t>(1, size);
        if (out.size() + take > kLabelBytesMax) break;
        out += size == 0 ? std::string_view("?") : text.substr(0, take);
        text.remove_prefix(take);
    }
    return out;
}

template <class Cell>
Cell& cell_of(Series& series, Shard shard) {
    if (!std::holds_alternative<Cells<Cell>>(series.cells)) series.cells = Cells<Cell>();
    auto& cells = std::get<Cells<Cell>>(series.cells);
    if (cells.size() <= shard.index) cells.resize(shard.index + std::size_t{1});
    if (cells[shard.index] == nullptr) cells[shard.index] = std::make_unique<Cell>();
    return *cells[shard.index];
}

struct Reader {
    std::variant<std::uint64_t, double, HistogramCounts> operator()(const Cells<CounterCell>& cells
    ) const {
        std::uint64_t sum = 0;
        for (const auto& cell : cells) {
            if (cell != nullptr) sum += cell->value.load(std::memory_order_relaxed);
        }
        return sum;
    }

    std::variant<std::uint64_t, double, HistogramCounts> operator()(const Cells<GaugeCell>& cells
    ) const {
        double sum = 0;
        for (const auto& cell : cells) {
            if (cell != nullptr) sum += cell->value.load(std::memory_order_relaxed);
        }
        return sum;
    }

    std::variant<std::uint64_t, double, HistogramCounts> operator()(
        const Cells<HistogramCell>& cells
    ) const {
        HistogramCounts sum;
        for (const auto& cell : cells) {
            if (cell == nullptr) continue;
            sum.add(0, 0, Duration(cell->sum_ns.load(std::memory_order_relaxed)));
            for (std::size_t i = 0; i < HistogramCounts::kBuckets; ++i) {
                const auto times = cell->buckets[i].load(std::memory_order_relaxed);
                sum.add(i, times, Duration::zero());
            }
        }
        return sum;
    }
};

// A search in vain is not repeated for so many requests: a service of ten thousand endpoints asks
// for as many series in one go, and each search looks at all that there are.
constexpr std::size_t kSearchEvery = 64;

// Makes room for one more series, if any can be dropped.
bool drop_oldest_unheld(FamilyState& state) {
    if (state.unsearched > 0) {
        --state.unsearched;
        return false;
    }
    std::map<Labels, Series>& series = state.series;
    auto oldest = series.end();
    for (auto at = series.begin(); at != series.end(); ++at) {
        if (at->second.is_held()) continue;
        if (oldest == series.end() || at->second.made < oldest->second.made) oldest = at;
    }
    if (oldest == series.end()) {
        state.unsearched = kSearchEvery - 1;
        return false;
    }
    series.erase(oldest);
    return true;
}

}  // namespace

std::string_view to_string(MetricKind kind) noexcept {
    switch (kind) {
        case MetricKind::counter:
            return "counter";
        case MetricKind::gauge:
            return "gauge";
        case MetricKind::histogram:
            return "histogram";
    }
    return "untyped";
}

struct MetricRegistry::State {
    std::mutex mutex;
    std::map<std::string_view, FamilyState> families;
    std::uint64_t series_made = 0;
    std::uint16_t shards_claimed = 0;

    FamilyState& family_state(const MetricFamily& family) {
        auto& state = families[family.name];
        if (state.family == nullptr) state.family = &family;
        MESH_ASSERT(state.family->kind == family.kind);
        return state;
    }

    Series& overflow_of(FamilyState& state) {
        if (&names::kMetricsOverflow != state.family) {
            Series& counted = find(names::kMetricsOverflow, {std::string(state.family->name)});
            cell_of<CounterCell>(counted, Shard{}).value.fetch_add(1, std::memory_order_relaxed);
        }
        if (state.overflow == nullptr) state.overflow = std::make_unique<Series>();
        return *state.overflow;
    }

    Series& find(const MetricFamily& family, Labels labels) {
        FamilyState& state = family_state(family);
        const auto found = state.series.find(labels);
        if (found != state.series.end()) return found->second;
        if (state.series.size() >= family.series_max && !drop_oldest_unheld(state))
            return overflow_of(state);
        Series& fresh = state.series[std::move(labels)];
        fresh.made = ++series_made;
        return fresh;
    }

    template <class Cell, class Handle>
    Handle handle(
        const MetricFamily& family, std::initializer_list<std::string_view> values, Shard shard
    ) {
        MESH_ASSERT(values.size() == family.label_count());
        MESH_ASSERT(shard.index <= kShardsMax);
        Labels labels;
        labels.reserve(values.size());
        for (const std::string_view value : values) labels.push_back(label_value(value));
        const std::lock_guard lock(mutex);
        Series& series = find(family, std::move(labels));
        return Handle(SeriesHold(series.holders), cell_of<Cell>(series, shard), shard);
    }
};

MetricRegistry::MetricRegistry() : state_(std::make_unique<State>()) {}

MetricRegistry::~MetricRegistry() = default;

Shard MetricRegistry::claim_shard() {
    const std::lock_guard lock(state_->mutex);
    if (state_->shards_claimed == kShardsMax) return {};
    return {.index = ++state_->shards_claimed, .exclusive = true};
}

Counter MetricRegistry::counter(
    const MetricFamily& family, std::initializer_list<std::string_view> labels, Shard shard
) {
    MESH_ASSERT(family.kind == MetricKind::counter);
    return state_->handle<CounterCell, Counter>(family, labels, shard);
}

Gauge MetricRegistry::gauge(
    const MetricFamily& family, std::initializer_list<std::string_view> labels, Shard shard
) {
    MESH_ASSERT(family.kind == MetricKind::gauge);
    return state_->handle<GaugeCell, Gauge>(family, labels, shard);
}

Histogram MetricRegistry::histogram(
    const MetricFamily& family, std::initializer_list<std::string_view> labels, Shard shard
) {
    MESH_ASSERT(family.kind == MetricKind::histogram);
    return state_->handle<HistogramCell, Histogram>(family, labels, shard);
}

MetricsSnapshot MetricRegistry::snapshot() {
    const std::lock_guard lock(state_->mutex);
    MetricsSnapshot out;
    for (auto& [name, state] : state_->families) {
        if (state.family->kind == MetricKind::gauge) {
            std::erase_if(state.series, [](const auto& entry) { return !entry.second.is_held(); });
        }
        FamilySnapshot family{.family = state.family, .series = {}};
        for (const auto& [labels, series] : state.series) {
            family.series.push_back({labels, std::visit(Reader{}, series.cells)});
        }
        if (state.overflow != nullptr) {
            const Labels labels(state.family->label_count(), "overflow");
            family.series.push_back({labels, std::visit(Reader{}, state.overflow->cells)});
        }
        if (!family.series.empty()) out.families.push_back(std::move(family));
    }
    return out;
}

double FamilySnapshot::total() const noexcept {
    double sum = 0;
    for (const auto& one : series) {
        if (const auto* count = std::get_if<std::uint64_t>(&one.value))
            sum += static_cast<double>(*count);
        if (const auto* level = std::get_if<double>(&one.value)) sum += *level;
    }
    return sum;
}

HistogramCounts FamilySnapshot::merged() const {
    HistogramCounts sum;
    for (const auto& one : series) {
        if (const auto* counts = std::get_if<HistogramCounts>(&one.value)) sum += *counts;
    }
    return sum;
}

const FamilySnapshot* MetricsSnapshot::find(const MetricFamily& family) const noexcept {
    const auto found = std::find_if(families.begin(), families.end(), [&](const auto& one) {
        return one.family->name == family.name;
    });
    return found == families.end() ? nullptr : &*found;
}

}  // namespace datapunk::mesh::metrics
