#include "wire/load_report.h"

#include <charconv>
#include <cmath>
#include <string>

namespace datapunk::mesh::wire {
namespace {

constexpr std::size_t kKeyBytesMax = 128;

class ReportReader {
  public:
    explicit ReportReader(std::string_view text) : text_(text) {}

    Result<LoadReport> text() {
        do {
            skip_blanks();
            const std::size_t equals = text_.find('=');
            if (equals == std::string_view::npos) return wrong("a metric without =");
            std::string_view key = text_.substr(0, equals);
            while (!key.empty() && is_blank(key.back())) key.remove_suffix(1);
            text_.remove_prefix(equals + 1);
            skip_blanks();
            if (!number()) return wrong(problem_);
            if (!note(key)) return wrong(problem_);
            skip_blanks();
        } while (take(','));
        if (!text_.empty()) return wrong("something other than a comma behind a number");
        return report();
    }

    Result<LoadReport> json() {
        skip_blanks();
        if (!object(true)) return wrong(problem_);
        skip_blanks();
        if (!text_.empty()) return wrong("something behind the object");
        return report();
    }

  private:
    static bool is_blank(char c) { return c == ' ' || c == '\t'; }

    static Error wrong(std::string_view why) {
        return {.code = Code::invalid, .what = "endpoint-load-metrics: " + std::string(why)};
    }

    bool fail(std::string_view why) {
        problem_ = why;
        return false;
    }

    void skip_blanks() {
        while (!text_.empty() && is_blank(text_.front())) text_.remove_prefix(1);
    }

    bool take(char c) {
        if (text_.empty() || text_.front() != c) return false;
        text_.remove_prefix(1);
        return true;
    }

    // {"key": number, ...}; the outer one may have such objects as values, the named metrics.
    bool object(bool is_outer) {
        if (!take('{')) return fail("not an object");
        skip_blanks();
        if (take('}')) return true;
        do {
            skip_blanks();
            if (!take('"')) return fail("a key without quotes");
            const std::size_t end = text_.find('"');
            if (end == std::string_view::npos) return fail("a key without an end");
            const std::string_view key = text_.substr(0, end);
            // Nobody's metrics are so called; and it keeps one key from having two spellings.
            if (key.find('\\') != std::string_view::npos) return fail("an escape in a key");
            text_.remove_prefix(end + 1);
            skip_blanks();
            if (!take(':')) return fail("a key without a value");
            skip_blanks();
            if (is_outer && !text_.empty() && text_.front() == '{') {
                if (!object(false)) return false;
            } else {
                if (!number()) return false;
                if (is_outer ? !note(key) : !count(key)) return false;
            }
            skip_blanks();
        } while (take(','));
        return take('}') || fail("an object without an end");
    }

    bool number() {
        const char* end = text_.data() + text_.size();
        const auto [at, error] = std::from_chars(text_.data(), end, number_);
        if (error != std::errc{} || !std::isfinite(number_)) return fail("a value is no number");
        if (number_ < 0) return fail("a value is negative");
        text_.remove_prefix(static_cast<std::size_t>(at - text_.data()));
        return true;
    }

    bool count(std::string_view key) {
        if (key.empty() || key.size() > kKeyBytesMax) return fail("a key is empty or too long");
        return ++metrics_ <= kLoadMetricsMax || fail("too many metrics");
    }

    bool note(std::string_view key) {
        if (!count(key)) return false;
        Known* known = key == "application_utilization" ? &application_
                       : key == "cpu_utilization"       ? &cpu_
                       : key == "rps_fractional"        ? &calls_
                       : key == "eps"                   ? &errors_
                                                        : nullptr;
        if (known == nullptr) return true;
        if (known->is_said) return fail("a metric is said twice");
        *known = {.value = number_, .is_said = true};
        return true;
    }

    LoadReport report() const {
        return {
            .utilization = application_.value > 0 ? application_.value : cpu_.value,
            .calls_per_second = calls_.value,
            .errors_per_second = errors_.value
        };
    }

    struct Known {
        double value = 0;
        bool is_said = false;
    };

    std::string_view text_;
    std::string_view problem_;
    double number_ = 0;
    int metrics_ = 0;
    Known application_;
    Known cpu_;
    Known calls_;
    Known errors_;
};

}  // namespace

Result<LoadReport> parse_load_report(std::string_view value) {
    if (value.size() > kLoadReportBytesMax) {
        return Error{.code = Code::invalid, .what = "endpoint-load-metrics: over 4096 bytes"};
    }
    if (value.starts_with("TEXT ")) return ReportReader(value.substr(5)).text();
    if (value.starts_with("JSON ")) return ReportReader(value.substr(5)).json();
    return Error{
        .code = Code::invalid, .what = "endpoint-load-metrics: neither TEXT nor JSON, in capitals"
    };
}

}  // namespace datapunk::mesh::wire
