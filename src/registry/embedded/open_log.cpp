#include "registry/embedded/open_log.h"

#include <fmt/format.h>

#include <filesystem>

#include "registry/embedded/volatile_log.h"
#include "store/sqlite_log.h"

namespace datapunk::mesh::registry::embedded {

Result<std::unique_ptr<store::CommandLog>> open_command_log(const std::string& data_dir) {
    if (data_dir.empty()) {
        return std::unique_ptr<store::CommandLog>(std::make_unique<VolatileLog>());
    }
    std::error_code problem;
    const bool is_new = std::filesystem::create_directories(data_dir, problem);
    // Keys and values are nobody else's business.
    if (is_new && !problem) {
        std::filesystem::permissions(data_dir, std::filesystem::perms::owner_all, problem);
    }
    if (problem) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("data directory {}: {}", data_dir, problem.message())
        };
    }
    auto log = store::SqliteLog::open({.path = data_dir + "/registry.db"});
    if (!log) return std::move(log).error();
    return std::unique_ptr<store::CommandLog>(*std::move(log));
}

}  // namespace datapunk::mesh::registry::embedded
