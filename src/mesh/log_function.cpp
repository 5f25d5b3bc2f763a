#include "mesh/log_function.h"

#include <cstdio>
#include <string>
#include <utility>

namespace datapunk::mesh::internal {

namespace {

static_assert(static_cast<int>(LogLevel::off) == static_cast<int>(core::Level::off));

class FunctionSink final : public core::LogSink {
  public:
    explicit FunctionSink(std::function<void(LogLevel, std::string_view)> write)
        : write_(std::move(write)) {}

    void write(const core::LogRecord& record) override {
        std::string line;
        core::append_logfmt(line, record);
        write_(static_cast<LogLevel>(record.level), line);
    }

  private:
    std::function<void(LogLevel, std::string_view)> write_;
};

void write_to_stderr(LogLevel, std::string_view line) {
    std::string whole("datapunk-mesh ");
    whole += line;
    whole += '\n';
    std::fwrite(whole.data(), 1, whole.size(), stderr);  // one call: lines do not mix
}

}  // namespace

core::Logger make_logger(LogLevel level, std::function<void(LogLevel, std::string_view)> write) {
    if (level == LogLevel::off) return {};
    if (!write) write = write_to_stderr;
    return {std::make_shared<FunctionSink>(std::move(write)), static_cast<core::Level>(level)};
}

}  // namespace datapunk::mesh::internal
