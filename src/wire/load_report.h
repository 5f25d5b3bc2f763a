#pragma once

// What an endpoint says of its own load with an answer: the header `endpoint-load-metrics` (ORCA,
// xds.data.orca.v3.OrcaLoadReport, as Envoy and gRPC write it in text):
//
//   TEXT cpu_utilization=0.3, rps_fractional=120.5, eps=0.2, named_metrics.queue=4
//   JSON {"cpu_utilization": 0.3, "rps_fractional": 120.5, "named_metrics": {"queue": 4}}
//
// application_utilization goes before cpu_utilization where both are said (gRPC proposal A58).
// Metrics that nobody asks for here must be numbers and are ignored. The binary form (base64 of a
// protobuf) is refused. Input from the network: at most kLoadReportBytesMax bytes and
// kLoadMetricsMax metrics; negative, infinite and doubled ones are errors. Pure, one pass, no
// allocation but for the error.

#include <datapunk/mesh/balancing.h>
#include <datapunk/mesh/result.h>

#include <cstddef>
#include <string_view>

namespace datapunk::mesh::wire {

inline constexpr std::string_view kLoadReportHeader = "endpoint-load-metrics";
inline constexpr std::size_t kLoadReportBytesMax = 4096;
inline constexpr int kLoadMetricsMax = 64;

Result<LoadReport> parse_load_report(std::string_view value);

}  // namespace datapunk::mesh::wire
