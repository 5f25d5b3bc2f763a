#include "wire/load_report.h"

#include <gtest/gtest.h>

#include <string>

namespace datapunk::mesh::wire {
namespace {

TEST(LoadReportHeader, ReadsBothForms) {
    const LoadReport wanted{
        .utilization = 0.3, .calls_per_second = 120.5, .errors_per_second = 0.25
    };
    for (const char* value :
         {"TEXT cpu_utilization=0.3,rps_fractional=120.5,eps=0.25",
          "TEXT  cpu_utilization = 0.3 ,\trps_fractional=1.205e2, eps=0.25, named_metrics.queue=4",
          R"(JSON {"cpu_utilization":0.3,"rps_fractional":120.5,"eps":0.25})",
          R"(JSON { "cpu_utilization" : 0.3, "eps": 0.25, "named_metrics": {"queue": 4, "x": 1},)"
          R"( "utilization": {}, "rps_fractional": 120.5 } )"}) {
        const auto report = parse_load_report(value);
        ASSERT_TRUE(report) << value << ": " << report.error().what;
        EXPECT_EQ(*report, wanted) << value;
    }
}

TEST(LoadReportHeader, TheApplicationsWordGoesBeforeTheProcessors) {
    EXPECT_EQ(
        parse_load_report("TEXT cpu_utilization=0.3,application_utilization=1.2")->utilization, 1.2
    );
    EXPECT_EQ(
        parse_load_report("TEXT application_utilization=0,cpu_utilization=0.3")->utilization, 0.3
    );
}

TEST(LoadReportHeader, RefusesWhatIsNotOne) {
    for (const std::string value :
         {"",
          "TEXT",
          "TEXT ",
          "text cpu_utilization=0.3",
          "BIN CgA=",
          "TEXT cpu_utilization",
          "TEXT cpu_utilization=",
          "TEXT =1",
          "TEXT cpu_utilization=0.3;eps=1",
          "TEXT cpu_utilization=0.3,",
          "TEXT cpu_utilization=nan",
          "TEXT cpu_utilization=inf",
          "TEXT cpu_utilization=1e999",
          "TEXT cpu_utilization=-0.1",
          "TEXT cpu_utilization=0.1,cpu_utilization=0.2",
          "JSON",
          "JSON ",
          "JSON []",
          "JSON {",
          R"(JSON {"eps"})",
          R"(JSON {"eps":})",
          R"(JSON {"eps":1)",
          R"(JSON {"eps":"1"})",
          R"(JSON {"eps":1}x)",
          R"(JSON {"eps":1,})",
          R"(JSON {"a":{"b":{"c":1}}})",
          R"(JSON {"e\u0070s":1})",
          R"(JSON {"eps)"}) {
        EXPECT_FALSE(parse_load_report(value)) << value;
    }
}

TEST(LoadReportHeader, HoldsItsLimits) {
    std::string metrics = "TEXT a=1";
    for (int i = 1; i < kLoadMetricsMax; ++i) metrics += ",a=1";
    EXPECT_TRUE(parse_load_report(metrics));
    EXPECT_FALSE(parse_load_report(metrics + ",a=1"));
    const std::string bytes = "TEXT eps=1" + std::string(kLoadReportBytesMax - 10, ' ');
    EXPECT_TRUE(parse_load_report(bytes));
    EXPECT_FALSE(parse_load_report(bytes + " "));
    EXPECT_TRUE(parse_load_report("TEXT " + std::string(128, 'k') + "=1"));
    EXPECT_FALSE(parse_load_report("TEXT " + std::string(129, 'k') + "=1"));
}

}  // namespace
}  // namespace datapunk::mesh::wire
