#pragma once

// ServiceMetrics: the handles that one worker records one service's calls into: looked up once,
// then a few plain stores a request. ListenerMetrics likewise.

#include <array>
#include <string>
#include <string_view>

#include "metrics/metric_registry.h"
#include "proxy/replies.h"
#include "proxy/upstream_connection.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

struct ServiceMetrics {
    ServiceMetrics(
        metrics::MetricRegistry& registry, metrics::Shard shard, std::string_view service
    );

    // `status` 0: no answer could be sent.
    void record(int status, Duration took) const noexcept {
        const auto code_class = static_cast<std::size_t>(status / 100);
        by_class[code_class < by_class.size() ? code_class : 0].add();
        duration.record(took);
    }

    std::array<metrics::Counter, 6> by_class;  // [0] = error
    metrics::Histogram duration;
    metrics::Gauge in_flight;
};

// The counters of gRPC calls that one worker has used last: a look-up takes a lock and makes text.
class GrpcCounters {
  public:
    void add(
        metrics::MetricRegistry& registry,
        metrics::Shard shard,
        std::string_view service,
        std::string_view method,
        std::string_view status
    );

  private:
    struct Used {
        std::string labels;  // each with a zero byte behind it
        metrics::Counter counter;
    };

    std::array<Used, 64> used_;
    std::string wanted_;
};

// What one worker keeps of one service.
struct UpstreamState {
    ServiceMetrics metrics;
    UpstreamUse use;
};

UpstreamUse upstream_use(
    metrics::MetricRegistry& registry, metrics::Shard shard, std::string_view service
);

struct ListenerMetrics {
    ListenerMetrics(
        metrics::MetricRegistry& registry, metrics::Shard shard, std::string_view listener
    );

    metrics::Counter connections;
    metrics::Gauge connections_open;
};

}  // namespace datapunk::mesh::proxy
