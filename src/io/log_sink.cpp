#include "io/log_sink.h"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <mutex>

#include "core/strings.h"

namespace datapunk::mesh::io {

namespace {

// spdlog's sinks without locks of their own: ours also covers reopening and the count.
using SinkPtr = std::unique_ptr<spdlog::sinks::sink>;

Result<SinkPtr> open_sink(const std::string& path) {
    try {
        SinkPtr sink;
        if (path.empty()) {
            sink = std::make_unique<spdlog::sinks::stderr_sink_st>();
        } else {
            sink = std::make_unique<spdlog::sinks::basic_file_sink_st>(path);
        }
        sink->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
        return sink;
    } catch (const spdlog::spdlog_ex& problem) {
        return Error{.code = Code::invalid, .what = fmt::format("log: {}", problem.what())};
    }
}

class SpdlogSink final : public LineSink {
  public:
    SpdlogSink(const LogConfig& config, SinkPtr sink) : config_(config), sink_(std::move(sink)) {}

    void write(const core::LogRecord& record) override {
        const std::lock_guard lock(mutex_);
        const auto now = std::chrono::system_clock::now();
        line_.clear();
        if (lost_ > 0) {
            const core::LogField lost("lines", lost_);
            append(
                now,
                {.level = core::Level::warn,
                 .event = "log lines lost",
                 .fields = &lost,
                 .field_count = 1}
            );
            line_ += '\n';
        }
        append(now, record);
        try {
            sink_->log(spdlog::details::log_msg({}, spdlog::level::info, line_));
            sink_->flush();
            lost_ = 0;
        } catch (const spdlog::spdlog_ex&) {
            ++lost_;
        }
    }

    Result<> reopen() override {
        if (config_.path.empty()) return Ok{};
        auto fresh = open_sink(config_.path);
        if (!fresh) return fresh.error();
        const std::lock_guard lock(mutex_);
        sink_ = *std::move(fresh);
        return Ok{};
    }

  private:
    void append(std::chrono::system_clock::time_point now, const core::LogRecord& record) {
        const std::string time = core::format_utc(std::chrono::time_point_cast<Duration>(now));
        if (config_.format == core::LogFormat::json) {
            line_ += fmt::format("{{\"time\":\"{}\",", time);
            core::append_json_members(line_, record);
            line_ += '}';
        } else {
            line_ += fmt::format("time={} ", time);
            core::append_logfmt(line_, record);
        }
    }

    std::mutex mutex_;
    LogConfig config_;
    SinkPtr sink_;
    std::string line_;
    std::uint64_t lost_ = 0;
};

}  // namespace

Result<std::shared_ptr<LineSink>> open_log(const LogConfig& config) {
    auto sink = open_sink(config.path);
    if (!sink) return sink.error();
    return std::shared_ptr<LineSink>(std::make_shared<SpdlogSink>(config, *std::move(sink)));
}

}  // namespace datapunk::mesh::io
