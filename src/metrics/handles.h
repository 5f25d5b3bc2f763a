#pragma once

// Counter, Gauge, Histogram: what code records into. A handle is looked up once in a
// MetricRegistry and then records without look-up, lock or allocation.
//
// Each series has one cell per shard. An exclusive shard has one writing thread (a loop), so that
// recording is a plain load and store; the shared shard takes atomic additions from any thread.
// A handle belongs to the shard it was looked up for. Reading sums over the shards.
//
// Cost: counter 0.5 ns, histogram 2 ns on an exclusive shard; on the shared one 4 and 9 ns, and
// 20 and 50 ns when two threads record into the same series.
// A default-made handle records nothing. The registry must outlive its handles.

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "metrics/histogram_counts.h"

namespace datapunk::mesh::metrics {

struct Shard {
    std::uint16_t index = 0;  // 0 is the shared one
    bool exclusive = false;
};

// Counts the handles of a series: one without handles may be dropped by the registry.
class SeriesHold {
  public:
    SeriesHold() noexcept = default;

    explicit SeriesHold(std::atomic<std::uint32_t>& holders) noexcept : holders_(&holders) {
        holders_->fetch_add(1, std::memory_order_relaxed);
    }

    SeriesHold(const SeriesHold& other) noexcept : holders_(other.holders_) {
        if (holders_ != nullptr) holders_->fetch_add(1, std::memory_order_relaxed);
    }

    SeriesHold(SeriesHold&& other) noexcept : holders_(std::exchange(other.holders_, nullptr)) {}

    SeriesHold& operator=(SeriesHold other) noexcept {
        std::swap(holders_, other.holders_);
        return *this;
    }

    // Release: the last recording happens before the registry frees the cells.
    ~SeriesHold() {
        if (holders_ != nullptr) holders_->fetch_sub(1, std::memory_order_release);
    }

  private:
    std::atomic<std::uint32_t>* holders_ = nullptr;
};

template <class T>
void bump(std::atomic<T>& cell, T by, bool exclusive) noexcept {
    if (exclusive) {
        cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    } else {
        cell.fetch_add(by, std::memory_order_relaxed);
    }
}

// A line each: shards must not slow each other down.
struct alignas(64) CounterCell {
    std::atomic<std::uint64_t> value{0};
};

struct alignas(64) GaugeCell {
    std::atomic<double> value{0};
};

struct alignas(64) HistogramCell {
    std::atomic<std::int64_t> sum_ns{0};
    std::array<std::atomic<std::uint64_t>, HistogramCounts::kBuckets> buckets{};
};

class Counter {
  public:
    Counter() noexcept = default;

    Counter(SeriesHold hold, CounterCell& cell, Shard shard) noexcept
        : hold_(std::move(hold)), cell_(&cell), exclusive_(shard.exclusive) {}

    void add(std::uint64_t by = 1) const noexcept {
        if (cell_ != nullptr) bump(cell_->value, by, exclusive_);
    }

  private:
    SeriesHold hold_;
    CounterCell* cell_ = nullptr;
    bool exclusive_ = false;
};

// Shown as the sum over shards: either every shard adds its part, or one shard sets the whole. A
// gauge is shown only while somebody holds a handle of it: keep it for as long as its value is
// true.
class Gauge {
  public:
    Gauge() noexcept = default;

    Gauge(SeriesHold hold, GaugeCell& cell, Shard shard) noexcept
        : hold_(std::move(hold)), cell_(&cell), exclusive_(shard.exclusive) {}

    void set(double value) const noexcept {
        if (cell_ != nullptr) cell_->value.store(value, std::memory_order_relaxed);
    }

    void add(double by) const noexcept {
        if (cell_ != nullptr) bump(cell_->value, by, exclusive_);
    }

  private:
    SeriesHold hold_;
    GaugeCell* cell_ = nullptr;
    bool exclusive_ = false;
};

class Histogram {
  public:
    Histogram() noexcept = default;

    Histogram(SeriesHold hold, HistogramCell& cell, Shard shard) noexcept
        : hold_(std::move(hold)), cell_(&cell), exclusive_(shard.exclusive) {}

    void record(Duration value) const noexcept {
        if (cell_ == nullptr) return;
        bump(cell_->buckets[HistogramCounts::index_of(value)], std::uint64_t{1}, exclusive_);
        bump(cell_->sum_ns, std::int64_t{value.count()}, exclusive_);
    }

  private:
    SeriesHold hold_;
    HistogramCell* cell_ = nullptr;
    bool exclusive_ = false;
};

}  // namespace datapunk::mesh::metrics
