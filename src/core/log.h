#pragma once

// Structured log records: an event name and key=value pairs, never a format string, so that what a
// peer sends cannot forge a line. A Logger is passed in; there is no global one.
//
//     log.info("service registered", {{"service", name}, {"port", port}});
//
// A Logger is a small value (copy freely). Sinks are thread-safe; a Logger without a sink is
// silent.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace datapunk::mesh::core {

enum class Level : std::uint8_t { debug, info, warn, error, off };

std::string_view to_string(Level level) noexcept;

// How a sink writes a record: `key=value` pairs, or one JSON object a line.
enum class LogFormat : std::uint8_t { logfmt, json };

struct LogField {
    using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

    std::string_view key;
    Value value;

    LogField(std::string_view k, std::string_view v) : key(k), value(v) {}

    LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}

    LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}

    template <class T>
        requires(std::is_arithmetic_v<T>)
    LogField(std::string_view k, T v) : key(k), value(widen(v)) {}

  private:
    template <class T>
    static Value widen(T v) {
        if constexpr (std::is_same_v<T, bool>) {
            return v;
        } else if constexpr (std::is_floating_point_v<T>) {
            return static_cast<double>(v);
        } else if constexpr (std::is_signed_v<T>) {
            return static_cast<std::int64_t>(v);
        } else {
            return static_cast<std::uint64_t>(v);
        }
    }
};

struct LogRecord {
    Level level = Level::info;
    std::string_view event;
    const LogField* fields = nullptr;
    std::size_t field_count = 0;
};

class LogSink {
  public:
    virtual ~LogSink() = default;
    // Called from any thread. Must copy what it keeps.
    virtual void write(const LogRecord& record) = 0;
};

// event="..." key=value …; quotes and control characters are escaped, values over 1 KiB are cut.
void append_logfmt(std::string& out, const LogRecord& record);
// One JSON object without the braces' time: "level":…,"event":…,key:…; the sink adds the time.
void append_json_members(std::string& out, const LogRecord& record);

class Logger {
  public:
    Logger() = default;

    Logger(std::shared_ptr<LogSink> sink, Level level) : sink_(std::move(sink)), level_(level) {}

    bool enabled(Level level) const noexcept { return sink_ != nullptr && level >= level_; }

    void debug(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        write(Level::debug, event, fields);
    }

    void info(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        write(Level::info, event, fields);
    }

    void warn(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        write(Level::warn, event, fields);
    }

    void error(std::string_view event, std::initializer_list<LogField> fields = {}) const {
        write(Level::error, event, fields);
    }

  private:
    void write(Level level, std::string_view event, std::initializer_list<LogField> fields) const {
        if (!enabled(level)) return;
        sink_->write(
            {.level = level, .event = event, .fields = fields.begin(), .field_count = fields.size()}
        );
    }

    std::shared_ptr<LogSink> sink_;
    Level level_ = Level::info;
};

}  // namespace datapunk::mesh::core
