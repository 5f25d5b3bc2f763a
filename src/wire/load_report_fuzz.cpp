// No bytes crash or hang it; what is accepted is finite and not negative.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/load_report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    for (const std::string_view form : {"", "TEXT ", "JSON "}) {
        const auto report = wire::parse_load_report(std::string(form).append(bytes));
        if (!report) continue;
        for (const double value :
             {report->utilization, report->calls_per_second, report->errors_per_second}) {
            if (!std::isfinite(value) || value < 0) std::abort();
        }
    }
    return 0;
}
