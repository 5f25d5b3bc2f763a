#include "telemetry/metrics_page.h"

#include "io/process_usage.h"
#include "metrics/exposition.h"

namespace datapunk::mesh::telemetry {

MetricsPage::MetricsPage(metrics::MetricRegistry& registry, const metrics::BuildInfo& build)
    : registry_(registry), process_(registry, build) {}

http::Response MetricsPage::respond(const http::Request& request) {
    const io::ProcessUsage usage = io::read_process_usage();
    process_.update(
        {.resident_bytes = usage.resident_bytes,
         .open_fds = usage.open_fds,
         .max_fds = usage.max_fds,
         .cpu = usage.cpu,
         .started_at = usage.started_at}
    );
    const metrics::ExpositionFormat format = metrics::format_for_accept(request.header("accept"));
    return {
        .status = 200,
        .headers = {{"Content-Type", std::string(metrics::content_type(format))}},
        .body = metrics::expose(registry_.snapshot(), format)
    };
}

}  // namespace datapunk::mesh::telemetry
