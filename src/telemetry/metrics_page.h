#pragma once

// MetricsPage: /metrics: brings process figures up to date, takes a snapshot and writes it in the
// form that the scraper asks for. Control loop's object.

#include "http/message.h"
#include "metrics/metric_registry.h"
#include "metrics/process_metrics.h"

namespace datapunk::mesh::telemetry {

class MetricsPage {
  public:
    MetricsPage(metrics::MetricRegistry& registry, const metrics::BuildInfo& build);

    http::Response respond(const http::Request& request);

  private:
    metrics::MetricRegistry& registry_;
    metrics::ProcessMetrics process_;
};

}  // namespace datapunk::mesh::telemetry
