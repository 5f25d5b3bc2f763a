#include "telemetry/metrics_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metrics/names.h"

namespace datapunk::mesh::telemetry {
namespace {

TEST(MetricsPage, ShowsProcessAndSeriesInTheFormAskedFor) {
    metrics::MetricRegistry registry;
    MetricsPage page(registry, {.version = "1", .revision = "r", .compiler = "c"});
    const metrics::Counter retries = registry.counter(metrics::names::kRetries, {"web", "5xx"});
    retries.add(3);
    const http::Response plain = page.respond({});
    EXPECT_THAT(plain.header("content-type"), testing::HasSubstr("text/plain"));
    EXPECT_THAT(
        plain.body, testing::HasSubstr("mesh_retries_total{service=\"web\",reason=\"5xx\"} 3")
    );
    EXPECT_THAT(plain.body, testing::HasSubstr("process_resident_memory_bytes "));
    const http::Response open =
        page.respond({.headers = {{"Accept", "application/openmetrics-text"}}});
    EXPECT_THAT(open.body, testing::EndsWith("# EOF\n"));
}

}  // namespace
}  // namespace datapunk::mesh::telemetry
