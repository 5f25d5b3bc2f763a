#include "registry/file/file_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace datapunk::mesh::registry::file {

Result<> check(const FileConfig& config) {
    using std::chrono::hours;
    using std::chrono::seconds;
    std::string problems;
    const auto need = [&](bool ok, std::string_view what) {
        if (!ok) problems += fmt::format("{}{}", problems.empty() ? "" : "; ", what);
    };
    const bool is_printable = std::none_of(config.path.begin(), config.path.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    need(!config.path.empty() && is_printable, "path must be a file or directory");
    need(
        config.settle >= Duration::zero() && config.settle <= seconds(10), "settle must be 0s..10s"
    );
    need(config.poll >= seconds(1) && config.poll <= hours(1), "poll must be 1s..1h");
    need(
        config.endpoints_max >= 1 && config.endpoints_max <= 100'000,
        "endpoints_max must be 1..100000"
    );
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "file registry: " + problems};
}

}  // namespace datapunk::mesh::registry::file
