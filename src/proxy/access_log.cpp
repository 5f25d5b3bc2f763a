#include "proxy/access_log.h"

#include "core/strings.h"

namespace datapunk::mesh::proxy {

AccessLog::AccessLog(std::unique_ptr<io::LineWriter> lines, core::LogFormat format)
    : lines_(std::move(lines)), format_(format) {}

void AccessLog::set_rules(const AccessLogRules& rules) noexcept {
    sample_.store(rules.sample, std::memory_order_relaxed);
    slow_.store(rules.slow, std::memory_order_relaxed);
}

std::unique_ptr<AccessLog::Worker> AccessLog::add_worker() {
    return std::make_unique<Worker>(*this, lines_->add_source());
}

double AccessLog::Worker::share_of(bool failed, Duration took, core::Rng& rng) const noexcept {
    const Duration slow = log_.slow_.load(std::memory_order_relaxed);
    if (failed || (slow > Duration::zero() && took >= slow)) return 1;
    const double sample = log_.sample_.load(std::memory_order_relaxed);
    if (sample >= 1) return 1;
    return rng.chance(sample) ? sample : 0;
}

void AccessLog::Worker::write(WallTime now, const core::LogRecord& record) {
    line_.clear();
    if (log_.format_ == core::LogFormat::json) {
        line_ += "{\"time\":\"";
        line_ += core::format_utc(now);
        line_ += "\",";
        core::append_json_members(line_, record);
        line_ += '}';
    } else {
        line_ += "time=";
        line_ += core::format_utc(now);
        line_ += ' ';
        core::append_logfmt(line_, record);
    }
    lines_.write(line_);
}

}  // namespace datapunk::mesh::proxy
