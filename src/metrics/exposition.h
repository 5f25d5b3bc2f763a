#pragma once

// A MetricsSnapshot as text for a scraper: Prometheus text 0.0.4 or OpenMetrics 1.0. Pure.
//
// Histograms leave as classic buckets, computed from the log-linear ones: a value within 3 % of a
// bound may count on its other side. Source: prometheus.io/docs/instrumenting/exposition_formats,
// the OpenMetrics 1.0 specification.

#include <string>
#include <string_view>

#include "metrics/metric_registry.h"

namespace datapunk::mesh::metrics {

enum class ExpositionFormat : std::uint8_t { prometheus, openmetrics };

// Upper bounds in seconds. 0.5 ms is the fastest answer worth telling apart over a network and 10 s
// the longest that callers wait for; 1-2.5-5 steps keep a series at 15 lines.
inline constexpr double kBucketBounds[] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0
};

// The format that a scraper's Accept header asks for; Prometheus text unless it names OpenMetrics.
ExpositionFormat format_for_accept(std::string_view accept) noexcept;

std::string_view content_type(ExpositionFormat format) noexcept;

std::string expose(const MetricsSnapshot& snapshot, ExpositionFormat format);

}  // namespace datapunk::mesh::metrics
