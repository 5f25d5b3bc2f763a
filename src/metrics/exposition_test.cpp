#include "metrics/exposition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "metrics/names.h"
#include "metrics/process_metrics.h"

namespace datapunk::mesh::metrics {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr MetricFamily kOdd{
    "test_odd", MetricKind::gauge, "", "A \"quoted\" \\ text\nof two lines.", {"who"}
};

TEST(Exposition, WritesCountersGaugesAndHistogramsAsPrometheusText) {
    MetricRegistry registry;
    registry.counter(names::kRequests, {"api", "2xx"}).add(3);
    const Gauge state = registry.gauge(names::kBreakerState, {"api", "api-1"});
    state.set(2);
    const Histogram histogram = registry.histogram(names::kRequestDuration, {"api"});
    histogram.record(700us);
    histogram.record(700us);
    histogram.record(20s);
    EXPECT_EQ(
        expose(registry.snapshot(), ExpositionFormat::prometheus),
        R"(# HELP mesh_breaker_state Circuit breaker: 0 closed, 1 half-open, 2 open.
# TYPE mesh_breaker_state gauge
mesh_breaker_state{service="api",endpoint="api-1"} 2
# HELP mesh_request_duration_seconds Time from a call's arrival to the end of its answer, retries included.
# TYPE mesh_request_duration_seconds histogram
mesh_request_duration_seconds_bucket{service="api",le="0.0005"} 0
mesh_request_duration_seconds_bucket{service="api",le="0.001"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.0025"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.005"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.01"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.025"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.05"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.1"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.25"} 2
mesh_request_duration_seconds_bucket{service="api",le="0.5"} 2
mesh_request_duration_seconds_bucket{service="api",le="1.0"} 2
mesh_request_duration_seconds_bucket{service="api",le="2.5"} 2
mesh_request_duration_seconds_bucket{service="api",le="5.0"} 2
mesh_request_duration_seconds_bucket{service="api",le="10.0"} 2
mesh_request_duration_seconds_bucket{service="api",le="+Inf"} 3
mesh_request_duration_seconds_sum{service="api"} 20.0014
mesh_request_duration_seconds_count{service="api"} 3
# HELP mesh_requests_total Calls answered, by service and class of answer: 1xx to 5xx, or error when none came.
# TYPE mesh_requests_total counter
mesh_requests_total{service="api",code_class="2xx"} 3
)"
    );
}

TEST(Exposition, OpenMetricsNamesTheCounterFamilyWithoutTotalAndEnds) {
    MetricRegistry registry;
    constexpr static MetricFamily kSent{
        "mesh_listener_sent_bytes_total",
        MetricKind::counter,
        "bytes",
        "Bytes written to callers.",
        {"listener"}
    };
    registry.counter(kSent, {"in"}).add(7);
    EXPECT_EQ(
        expose(registry.snapshot(), ExpositionFormat::openmetrics),
        R"(# HELP mesh_listener_sent_bytes Bytes written to callers.
# TYPE mesh_listener_sent_bytes counter
# UNIT mesh_listener_sent_bytes bytes
mesh_listener_sent_bytes_total{listener="in"} 7
# EOF
)"
    );
}

TEST(Exposition, OfNothingIsEmptyButStillEnds) {
    MetricRegistry registry;
    EXPECT_EQ(expose(registry.snapshot(), ExpositionFormat::prometheus), "");
    EXPECT_EQ(expose(registry.snapshot(), ExpositionFormat::openmetrics), "# EOF\n");
}

TEST(Exposition, EscapesHelpAndLabels) {
    MetricRegistry registry;
    const Gauge gauge = registry.gauge(kOdd, {"a\"b\\c\nd\"} 9\n# x"});
    const std::string text = expose(registry.snapshot(), ExpositionFormat::prometheus);
    EXPECT_THAT(text, HasSubstr("# HELP test_odd A \"quoted\" \\\\ text\\nof two lines.\n"));
    EXPECT_THAT(text, HasSubstr("test_odd{who=\"a\\\"b\\\\c\\nd\\\"} 9\\n# x\"} 0\n"));
    const std::string open = expose(registry.snapshot(), ExpositionFormat::openmetrics);
    EXPECT_THAT(open, HasSubstr("A \\\"quoted\\\" "));
}

TEST(Exposition, WritesNumbersThatAreNotFinite) {
    MetricRegistry registry;
    const Gauge gauge = registry.gauge(kOdd, {"a"});
    gauge.set(std::numeric_limits<double>::infinity());
    EXPECT_THAT(expose(registry.snapshot(), ExpositionFormat::prometheus), EndsWith("} +Inf\n"));
    gauge.set(std::numeric_limits<double>::quiet_NaN());
    EXPECT_THAT(expose(registry.snapshot(), ExpositionFormat::prometheus), EndsWith("} NaN\n"));
}

TEST(Exposition, AScraperChoosesTheFormat) {
    EXPECT_EQ(
        format_for_accept("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"),
        ExpositionFormat::openmetrics
    );
    EXPECT_EQ(format_for_accept("text/plain"), ExpositionFormat::prometheus);
    EXPECT_EQ(format_for_accept(""), ExpositionFormat::prometheus);
    EXPECT_THAT(
        std::string(content_type(ExpositionFormat::prometheus)), HasSubstr("version=0.0.4")
    );
}

// A registry with every family of names.h filled.
struct Full {
    MetricRegistry registry;
    std::vector<Gauge> gauges;

    Full() {
        for (const MetricFamily* family : names::kAll) fill(*family);
    }

    void fill(const MetricFamily& family) {
        const auto with = [&](std::initializer_list<std::string_view> labels) {
            if (family.kind == MetricKind::counter) registry.counter(family, labels).add(5);
            if (family.kind == MetricKind::histogram)
                registry.histogram(family, labels).record(3ms);
            if (family.kind == MetricKind::gauge) {
                gauges.push_back(registry.gauge(family, labels));
                gauges.back().set(1.5);
            }
        };
        switch (family.label_count()) {
            case 0:
                return with({});
            case 1:
                return with({"a \"b\"\n\\"});
            case 2:
                return with({"api", "x"});
            default:
                return with({"api", "x", "caf\xc3\xa9"});
        }
    }
};

TEST(Exposition, PromtoolFindsNothingToSay) {
    if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
        const char* peers = std::getenv("PEERS");
        if (peers != nullptr && std::string_view(peers) == "0") {
            GTEST_SKIP() << "promtool is absent and PEERS=0";
        }
        FAIL() << "promtool is absent (Debian package prometheus); PEERS=0 skips";
    }
    Full full;
    const std::string path = ::testing::TempDir() + "mesh_exposition.prom";
    std::ofstream(path) << expose(full.registry.snapshot(), ExpositionFormat::prometheus);
    const std::string command = "promtool check metrics <" + path + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string said;
    char part[512];
    while (std::fgets(part, sizeof part, pipe) != nullptr) said += part;
    EXPECT_EQ(pclose(pipe), 0);
    EXPECT_EQ(said, "");
    std::remove(path.c_str());
}

TEST(Exposition, BothFormatsHoldEveryFamily) {
    Full full;
    const MetricsSnapshot snapshot = full.registry.snapshot();
    const std::string text = expose(snapshot, ExpositionFormat::prometheus);
    const std::string open = expose(snapshot, ExpositionFormat::openmetrics);
    for (const MetricFamily* family : names::kAll) {
        EXPECT_THAT(text, HasSubstr("# TYPE " + std::string(family->name) + " "));
        EXPECT_THAT(open, HasSubstr("\n" + std::string(family->name)));
    }
    EXPECT_THAT(text, HasSubstr("process_cpu_seconds_total 5e-06\n"));
    EXPECT_THAT(text, Not(HasSubstr("# EOF")));
}

}  // namespace
}  // namespace datapunk::mesh::metrics
