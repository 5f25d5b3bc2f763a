#include "metrics/exposition.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <iterator>

#include "core/strings.h"

namespace datapunk::mesh::metrics {

namespace {

// HELP texts escape backslash and newline; label values the quote as well. OpenMetrics escapes
// the quote in both.
std::string escaped(std::string_view text, bool quotes) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (c == '\\' || (c == '"' && quotes)) out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
    return out;
}

std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    return fmt::format("{}", value);  // the shortest text that reads back the same
}

// OpenMetrics wants a bound to look like a float; both formats must name it alike.
std::string bound_text(double bound) {
    std::string text = number(bound);
    if (text.find('.') == std::string::npos) text += ".0";
    return text;
}

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

class Writer {
  public:
    explicit Writer(ExpositionFormat format) : format_(format) {}

    void family(const FamilySnapshot& snapshot) {
        const MetricFamily& family = *snapshot.family;
        header(family);
        for (const SeriesSnapshot& series : snapshot.series) {
            const std::string labels = label_text(family, series.labels);
            if (const auto* count = std::get_if<std::uint64_t>(&series.value)) {
                if (family.per_unit == 1) {
                    sample(family.name, labels, "", fmt::format("{}", *count));
                } else {
                    const double scaled = static_cast<double>(*count) / family.per_unit;
                    sample(family.name, labels, "", number(scaled));
                }
            } else if (const auto* level = std::get_if<double>(&series.value)) {
                sample(family.name, labels, "", number(*level));
            } else {
                histogram(family, labels, std::get<HistogramCounts>(series.value));
            }
        }
    }

    std::string finish() && {
        if (format_ == ExpositionFormat::openmetrics) out_ += "# EOF\n";
        return std::move(out_);
    }

  private:
    bool open_metrics() const { return format_ == ExpositionFormat::openmetrics; }

    void header(const MetricFamily& family) {
        std::string_view name = family.name;
        constexpr std::string_view kTotal = "_total";
        // An OpenMetrics counter family is named without the suffix that its samples carry.
        if (open_metrics() && family.kind == MetricKind::counter && name.ends_with(kTotal))
            name.remove_suffix(kTotal.size());
        const auto out = std::back_inserter(out_);
        fmt::format_to(out, "# HELP {} {}\n", name, escaped(family.help, open_metrics()));
        fmt::format_to(out, "# TYPE {} {}\n", name, to_string(family.kind));
        if (open_metrics() && !family.unit.empty())
            fmt::format_to(out, "# UNIT {} {}\n", name, family.unit);
    }

    static std::string label_text(
        const MetricFamily& family, const std::vector<std::string>& values
    ) {
        std::string out;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (i > 0) out += ',';
            fmt::format_to(
                std::back_inserter(out), "{}=\"{}\"", family.labels[i], escaped(values[i], true)
            );
        }
        return out;
    }

    void sample(
        std::string_view name, std::string_view labels, std::string_view le, std::string_view value
    ) {
        out_ += name;
        if (!labels.empty() || !le.empty()) {
            out_ += '{';
            out_ += labels;
            if (!labels.empty() && !le.empty()) out_ += ',';
            if (!le.empty()) fmt::format_to(std::back_inserter(out_), "le=\"{}\"", le);
            out_ += '}';
        }
        out_ += ' ';
        out_ += value;
        out_ += '\n';
    }

    void histogram(
        const MetricFamily& family, std::string_view labels, const HistogramCounts& counts
    ) {
        const std::string bucket = fmt::format("{}_bucket", family.name);
        for (const double bound : kBucketBounds) {
            const auto limit =
                std::chrono::duration_cast<Duration>(std::chrono::duration<double>(bound));
            sample(bucket, labels, bound_text(bound), fmt::format("{}", counts.at_most(limit)));
        }
        const std::string all = fmt::format("{}", counts.count());
        sample(bucket, labels, "+Inf", all);
        sample(fmt::format("{}_sum", family.name), labels, "", number(seconds(counts.sum())));
        sample(fmt::format("{}_count", family.name), labels, "", all);
    }

    ExpositionFormat format_;
    std::string out_;
};

}  // namespace

ExpositionFormat format_for_accept(std::string_view accept) noexcept {
    const bool wants_open = accept.find("application/openmetrics-text") != std::string_view::npos;
    return wants_open ? ExpositionFormat::openmetrics : ExpositionFormat::prometheus;
}

std::string_view content_type(ExpositionFormat format) noexcept {
    return format == ExpositionFormat::openmetrics
               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
               : "text/plain; version=0.0.4; charset=utf-8";
}

std::string expose(const MetricsSnapshot& snapshot, ExpositionFormat format) {
    Writer writer(format);
    for (const FamilySnapshot& family : snapshot.families) writer.family(family);
    return std::move(writer).finish();
}

}  // namespace datapunk::mesh::metrics
