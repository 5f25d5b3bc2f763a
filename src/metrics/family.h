#pragma once

// MetricFamily: what a metric is called and means. Every family of the mesh is in names.h.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace datapunk::mesh::metrics {

enum class MetricKind : std::uint8_t { counter, gauge, histogram };

std::string_view to_string(MetricKind kind) noexcept;

// Cardinality is what kills a metrics store: a family holds this many series unless it says
// otherwise, the rest share one whose labels all read "overflow".
inline constexpr std::size_t kSeriesMax = 1000;
inline constexpr std::size_t kLabelsMax = 3;
inline constexpr std::size_t kLabelBytesMax = 128;  // a label value is cut there

struct MetricFamily {
    std::string_view name;  // as exposed: counters end in _total, units are base units
    MetricKind kind = MetricKind::counter;
    std::string_view unit;  // "seconds", "bytes" or empty; part of the name
    std::string_view help;
    std::string_view labels[kLabelsMax] = {};  // names, in the order values are given
    std::size_t series_max = kSeriesMax;
    double per_unit = 1;  // a counter counts whole things: what it exposes is count / per_unit

    constexpr std::size_t label_count() const noexcept {
        std::size_t count = 0;
        while (count < kLabelsMax && !labels[count].empty()) ++count;
        return count;
    }
};

}  // namespace datapunk::mesh::metrics
