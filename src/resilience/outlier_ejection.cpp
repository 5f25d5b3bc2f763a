#include "resilience/outlier_ejection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace datapunk::mesh::resilience {

namespace {

constexpr double kSpreadFloor = 5;  // percentage points; see the header

struct Judged {
    std::size_t index;
    double success_percent;
    std::uint32_t calls;
};

std::uint32_t calls_of(const OutlierStats& stats) noexcept {
    return stats.successes + stats.failures;
}

// May one more be ejected?
bool allowed(
    std::span<OutlierStats* const> all,
    const OutlierStats& candidate,
    const OutlierConfig& config,
    Instant now
) noexcept {
    std::size_t ejected = 0;
    std::size_t left = 0;  // usable, once the candidate is out
    for (const OutlierStats* const one : all) {
        const bool out = is_ejected(*one, now);
        ejected += out ? 1 : 0;
        left += !out && one->usable && one != &candidate ? 1 : 0;
    }
    if (left == 0 || is_ejected(candidate, now)) return false;
    const double share = 100.0 * static_cast<double>(ejected + 1) / static_cast<double>(all.size());
    const bool too_many = config.max_ejected != 0 && ejected >= config.max_ejected;
    return ejected == 0 || (share <= config.max_ejected_percent && !too_many);
}

void eject(OutlierStats& stats, const OutlierConfig& config, Instant now, Ejection& ejection) {
    // Beyond this many the cap holds anyway, and the product cannot overflow.
    const auto count_max = static_cast<std::uint32_t>(
        std::min<std::int64_t>(config.max_ejection / config.base_ejection + 1, 1'000'000)
    );
    stats.ejections = std::min(stats.ejections + 1, count_max);
    const double wanted = static_cast<double>(config.base_ejection.count()) * stats.ejections;
    const Duration wait = wanted >= static_cast<double>(config.max_ejection.count())
                              ? config.max_ejection
                              : config.base_ejection * stats.ejections;
    stats.ejected_until = now > kNever - wait ? kNever : now + wait;
    stats.in_a_row = stats.successes = stats.failures = 0;
    ejection.count = stats.ejections;
    ejection.until = stats.ejected_until;
}

// Judged endpoints, worst first.
std::vector<Judged> judge(
    std::span<OutlierStats* const> all, const OutlierConfig& config, Instant now
) {
    std::vector<Judged> judged;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::uint32_t calls = calls_of(*all[i]);
        if (calls == 0 || calls < config.request_volume || is_ejected(*all[i], now)) continue;
        judged.push_back({i, 100.0 * all[i]->successes / calls, calls});
    }
    std::sort(judged.begin(), judged.end(), [](const Judged& a, const Judged& b) {
        return std::tie(a.success_percent, a.index) < std::tie(b.success_percent, b.index);
    });
    return judged;
}

struct Threshold {
    std::size_t outliers = 0;  // so many of the worst
    double percent = 0;
};

// The walk from the best down; see the header.
Threshold find_outliers(const std::vector<Judged>& judged, double factor) {
    double sum = 0;
    double squares = 0;
    for (std::size_t better = 0; better < judged.size(); ++better) {
        const Judged& next = judged[judged.size() - 1 - better];
        if (better * 2 >= judged.size() && better > 0) {
            const auto n = static_cast<double>(better);
            const double mean = sum / n;
            const double sigma = std::sqrt(std::max(0.0, squares / n - mean * mean));
            const double error = std::sqrt(mean * (100 - mean) / next.calls);
            const double limit = mean - factor * (std::max(sigma, kSpreadFloor) + error);
            if (next.success_percent < limit) return {judged.size() - better, limit};
        }
        sum += next.success_percent;
        squares += next.success_percent * next.success_percent;
    }
    return {};
}

}  // namespace

std::string_view to_string(EjectionReason reason) noexcept {
    switch (reason) {
        case EjectionReason::consecutive_failures:
            return "consecutive_failures";
        case EjectionReason::failure_percentage:
            return "failure_percentage";
        case EjectionReason::success_rate:
            return "success_rate";
        case EjectionReason::silence:
            return "silence";
    }
    return "unknown";
}

std::string describe(const Ejection& e) {
    switch (e.reason) {
        case EjectionReason::consecutive_failures:
            return fmt::format("{:.0f} failures in a row", e.measured);
        case EjectionReason::failure_percentage:
            return fmt::format(
                "{:.1f} % of {} calls failed, limit {:.1f} %", e.measured, e.calls, e.limit
            );
        case EjectionReason::success_rate:
            return fmt::format(
                "{:.1f} % of {} calls succeeded, the others' limit is {:.1f} %",
                e.measured,
                e.calls,
                e.limit
            );
        case EjectionReason::silence:
            return fmt::format(
                "calls are out and nothing is answered: suspicion {:.1f}, limit {:.1f}",
                e.measured,
                e.limit
            );
    }
    return "unknown";
}

bool record_failure(OutlierStats& stats, const OutlierConfig& config, Instant now) noexcept {
    if (!config.enabled || is_ejected(stats, now)) return false;
    ++stats.failures;
    ++stats.in_a_row;
    return config.consecutive_failures != 0 && stats.in_a_row >= config.consecutive_failures;
}

std::optional<Ejection> try_eject(
    std::span<OutlierStats* const> all, std::size_t index, const OutlierConfig& config, Instant now
) {
    OutlierStats& stats = *all[index];
    if (!config.enabled || config.consecutive_failures == 0 ||
        stats.in_a_row < config.consecutive_failures || !allowed(all, stats, config, now)) {
        return std::nullopt;
    }
    Ejection ejection{
        .index = index,
        .reason = EjectionReason::consecutive_failures,
        .measured = static_cast<double>(stats.in_a_row),
        .limit = static_cast<double>(config.consecutive_failures),
        .calls = stats.in_a_row,
    };
    eject(stats, config, now, ejection);
    return ejection;
}

std::optional<Ejection> try_eject_silent(
    std::span<OutlierStats* const> all,
    std::size_t index,
    double phi,
    const OutlierConfig& config,
    Instant now
) {
    OutlierStats& stats = *all[index];
    if (!config.enabled || config.phi <= 0 || phi < config.phi ||
        !allowed(all, stats, config, now)) {
        return std::nullopt;
    }
    Ejection ejection{
        .index = index,
        .reason = EjectionReason::silence,
        .measured = phi,
        .limit = config.phi,
    };
    eject(stats, config, now, ejection);
    return ejection;
}

std::vector<Ejection> sweep(
    std::span<OutlierStats* const> all, const OutlierConfig& config, Instant now
) {
    std::vector<Ejection> ejections;
    if (!config.enabled) return ejections;
    const std::vector<Judged> judged = judge(all, config, now);
    const Threshold threshold =
        config.stdev_factor > 0 ? find_outliers(judged, config.stdev_factor) : Threshold{};
    for (std::size_t i = 0; i < judged.size(); ++i) {
        const auto [index, success_percent, calls] = judged[i];
        Ejection ejection{.index = index, .calls = calls};
        if (100 - success_percent >= config.failure_percentage) {
            ejection.reason = EjectionReason::failure_percentage;
            ejection.measured = 100 - success_percent;
            ejection.limit = config.failure_percentage;
        } else if (i < threshold.outliers) {
            ejection.reason = EjectionReason::success_rate;
            ejection.measured = success_percent;
            ejection.limit = threshold.percent;
        } else {
            continue;
        }
        if (!allowed(all, *all[index], config, now)) continue;
        eject(*all[index], config, now, ejection);
        ejections.push_back(ejection);
    }
    for (OutlierStats* const stats : all) {
        stats->successes = stats->failures = 0;
        if (!is_ejected(*stats, now) && stats->ejections > 0) --stats->ejections;
    }
    return ejections;
}

void restore(OutlierStats& stats) noexcept {
    stats.ejected_until = Instant::min();
    stats.in_a_row = stats.successes = stats.failures = 0;
}

}  // namespace datapunk::mesh::resilience
