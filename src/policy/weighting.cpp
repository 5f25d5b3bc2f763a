// ServicePolicies, the writer's side: from the cells to groups of weighted candidates and a table
// of them, when the set changes and, for weights that change with time, at ticks.

#include <algorithm>
#include <cmath>
#include <mutex>
#include <string>
#include <utility>

#include "balance/measured_weights.h"
#include "balance/peak_ewma.h"
#include "balance/slow_start.h"
#include "core/hash.h"
#include "health/trend.h"
#include "policy/observed.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::policy {
namespace {

// What is a weight of 1 once weights have fractions: a hundredth of it is still a whole number.
constexpr double kWeightUnit = 1024;

// By how much a forecast has to change to be worth a new table: a few percent are noise.
constexpr double kWorthATable = 0.05;

}  // namespace

// By cell, in the order of cells_.
struct ServicePolicies::Weighting {
    std::vector<double> weights;  // empty if plain
    bool is_plain = true;         // the endpoints' own weights, unchanged
};

ServicePolicies::Weighting ServicePolicies::weighting(Instant now) {
    Weighting result;
    is_ramping_ = false;
    const bool is_measured = std::holds_alternative<ReportedLoad>(rules().balance) ||
                             std::holds_alternative<WeightedResponseTime>(rules().balance);
    const bool is_steady = rules().slow_start.window == Duration::zero();
    if (!is_measured && is_steady && !rules().forecast.balance) return result;
    result.weights.reserve(cells_.size());
    for (const auto& cell : cells_) {
        result.weights.push_back(std::max<std::uint32_t>(1, cell->endpoint.weight));
    }
    weigh_by_measure(result, now);
    weigh_by_forecast(result);
    weigh_slow_start(result, now);
    return result;
}

// Less for those whose latency grows, before it has grown. Whoever is well keeps its weight: of
// equals that all grow slower alike nobody loses calls.
void ServicePolicies::weigh_by_forecast(Weighting& weighting) {
    if (!rules().forecast.balance) return;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        if (cells_[i]->observed == nullptr) continue;
        Observed& observed = *cells_[i]->observed;
        observed.weighed_by = health::weight_factor(observed.latency, rules().forecast.horizon);
        if (observed.weighed_by == 1) continue;
        weighting.is_plain = false;
        weighting.weights[i] *= observed.weighed_by;
    }
}

// Whether some forecast has come to differ from what the table goes by.
bool ServicePolicies::forecasts_have_changed() const {
    if (!rules().forecast.balance) return false;
    return std::any_of(cells_.begin(), cells_.end(), [this](const auto& cell) {
        if (cell->observed == nullptr) return false;
        const double now = health::weight_factor(cell->observed->latency, rules().forecast.horizon);
        return std::abs(now - cell->observed->weighed_by) > kWorthATable;
    });
}

void ServicePolicies::weigh_by_measure(Weighting& weighting, Instant now) {
    std::vector<double> shares;
    if (const auto* config = std::get_if<ReportedLoad>(&rules().balance)) {
        std::vector<double> capacities;
        capacities.reserve(cells_.size());
        for (const auto& cell : cells_) {
            const std::lock_guard guard(cell->lock);
            capacities.push_back(cell->reported.capacity(*config, now));
        }
        shares = balance::shares_of(capacities);
        // What endpoints say of their capacity takes the place of what was configured.
        std::fill(weighting.weights.begin(), weighting.weights.end(), 1.0);
    } else if (std::holds_alternative<WeightedResponseTime>(rules().balance)) {
        static constexpr PeakEwma kAveraging{.initial = Duration::zero()};
        std::vector<balance::TimedEndpoint> endpoints;
        endpoints.reserve(cells_.size());
        for (const auto& cell : cells_) {
            endpoints.push_back(
                {.latency = balance::expected_latency(cell->load, kAveraging, now),
                 .in_flight = cell->load.in_flight.load(std::memory_order_relaxed),
                 .weight = std::max<std::uint32_t>(1, cell->endpoint.weight)}
            );
        }
        shares = balance::shares_by_response_time(endpoints);
    } else {
        return;
    }
    weighting.is_plain = false;
    for (std::size_t i = 0; i < shares.size(); ++i) weighting.weights[i] *= shares[i];
}

void ServicePolicies::weigh_slow_start(Weighting& weighting, Instant now) {
    const SlowStartConfig& config = rules().slow_start;
    if (config.window == Duration::zero()) return;
    double old = 0;
    double fresh = 0;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        Cell& cell = *cells_[i];
        if (cell.fresh_since != kNever && now - cell.fresh_since >= config.window) {
            cell.fresh_since = kNever;
        }
        if (cell.health == Health::critical) continue;
        (cell.fresh_since == kNever ? old : fresh) += weighting.weights[i];
    }
    if (fresh == 0) return;
    is_ramping_ = true;
    weighting.is_plain = false;
    const double floor = balance::slow_start_floor(old, fresh);
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        const Cell& cell = *cells_[i];
        if (cell.fresh_since == kNever) continue;
        weighting.weights[i] *=
            std::max(floor, balance::slow_start_share(config, now - cell.fresh_since));
    }
}

std::vector<balance::SpreadMember> ServicePolicies::spread_members(Instant now) const {
    std::vector<balance::SpreadMember> members;
    members.reserve(cells_.size());
    for (const auto& cell : cells_) {
        members.push_back(
            {.endpoint = &cell->endpoint,
             .key = cell->key,
             .weight = std::max<std::uint32_t>(1, cell->endpoint.weight),
             .is_critical = cell->health == Health::critical,
             .is_available = cell->load.available(now)}
        );
    }
    return members;
}

std::uint64_t ServicePolicies::availability(Instant now) const noexcept {
    std::uint64_t sum = cells_.size();
    for (const auto& cell : cells_) sum += cell->load.available(now) ? 0 : cell->key;
    return sum;
}

void ServicePolicies::publish_table(std::vector<Cell*> unlisted, Instant now) {
    const auto groups = balance::spread(spread_members(now), settings_.load()->rules);
    const Weighting weighting = this->weighting(now);
    Table table{
        .cells = {},
        .balancer = {{}, {}},
        .spills = {},
        .known = static_cast<std::uint32_t>(cells_.size()),
        .critical = 0,
        .outside = outside_,
    };
    for (const auto& cell : cells_) table.critical += cell->health == Health::critical ? 1 : 0;
    // Round robin ignores weights, but not parts of them.
    const bool counts_turns = std::holds_alternative<RoundRobin>(rules().balance);
    bool is_plain = weighting.is_plain;
    bool has_spills = false;
    for (const auto& group : groups) {
        if (!group.parts.empty()) is_plain = false;
        if (!group.is_own_zone || group.priority != groups[0].priority) has_spills = true;
    }
    std::vector<balance::GroupedBalancer::Group> built;
    built.reserve(groups.size());
    table.cells.reserve(cells_.size());
    for (const auto& group : groups) {
        auto& candidates = built.emplace_back().candidates;
        built.back().share = group.share;
        candidates.reserve(group.members.size());
        for (std::size_t k = 0; k < group.members.size(); ++k) {
            const std::uint32_t i = group.members[k];
            Cell& cell = *cells_[i];
            std::uint32_t weight = std::max<std::uint32_t>(1, cell.endpoint.weight);
            if (!is_plain) {
                double exact = weighting.weights.empty() ? weight : weighting.weights[i];
                if (!group.parts.empty()) exact *= group.parts[k];
                if (counts_turns) exact /= weight;
                weight = static_cast<std::uint32_t>(std::max(1.0, std::round(exact * kWeightUnit)));
            }
            candidates.push_back(
                {.load = &cell.load, .weight = weight, .key = cell.key, .endpoint = &cell.endpoint}
            );
            table.cells.push_back(cell.line());
        }
        if (group.share > 0) table.called += static_cast<std::uint32_t>(group.members.size());
        if (group.share > 0 && group.is_panic) table.is_panic = true;
        if (!has_spills) continue;
        const Spill spill = group.priority != groups[0].priority ? Spill::priority
                            : group.is_own_zone                  ? Spill::none
                                                                 : Spill::zone;
        table.spills.resize(table.cells.size(), spill);
    }
    BalanceConfig algorithm = rules().balance;
    if (std::holds_alternative<Adaptive>(algorithm)) algorithm = chooser_.config();
    if (counts_turns && !is_plain) algorithm = StaticStride{};
    table.balancer = balance::GroupedBalancer(algorithm, std::move(built));
    if (settings_.load()->rules.follow_availability()) availability_ = availability(now);
    tell_panic(groups, now);

    auto fresh = std::make_unique<Table>(std::move(table));
    const Table* old = table_.exchange(fresh.release(), std::memory_order_acq_rel);
    // Tables go in order of age: once this one is gone, nobody can find the unlisted any more.
    retired_.add([old, unlisted = std::move(unlisted)] {
        for (Cell* cell : unlisted) --cell->retirements;
        delete old;
    });
}

void ServicePolicies::tell_panic(const std::vector<balance::SpreadGroup>& groups, Instant now) {
    const bool panics = std::any_of(groups.begin(), groups.end(), [](const auto& group) {
        return group.is_panic && group.share > 0;
    });
    if (panics == is_panic_) return;
    is_panic_ = panics;
    std::size_t critical = 0;
    for (const auto& cell : cells_) critical += cell->health == Health::critical ? 1 : 0;
    events_.push(
        {.when = now,
         .service = name_,
         .endpoint = {},
         .what = panics ? "panic" : "panic over",
         .why = std::to_string(critical) + " of " + std::to_string(cells_.size()) +
                " are critical by their checks" + (panics ? ", which are disregarded" : ""),
         .label = panics ? "panic" : "over"}
    );
}

// At ticks: weights that change with time.
void ServicePolicies::refresh_weights(Instant now) {
    if (cells_.empty()) return;
    bool is_due = is_ramping_ || std::holds_alternative<WeightedResponseTime>(rules().balance) ||
                  std::holds_alternative<ReportedLoad>(rules().balance);
    if (judge_algorithm(now)) is_due = true;
    if (forecasts_have_changed()) is_due = true;
    if (settings_.load()->rules.follow_availability() && availability(now) != availability_)
        is_due = true;
    if (is_due) publish_table({}, now);
}

// Whether Adaptive has changed its mind.
bool ServicePolicies::judge_algorithm(Instant now) {
    const auto* config = std::get_if<Adaptive>(&rules().balance);
    if (config == nullptr) return false;
    static constexpr PeakEwma kAveraging{.initial = Duration::zero()};
    if (next_judgement_ == kNever) next_judgement_ = now + config->interval;
    const bool ends_interval = now >= next_judgement_;
    if (ends_interval) next_judgement_ = now + config->interval;
    ++samples_;
    std::vector<balance::EndpointQuality> qualities;
    qualities.reserve(cells_.size());
    for (const auto& cell : cells_) {
        balance::EndpointQuality quality{.weight = std::max(1U, cell->endpoint.weight)};
        {
            const std::lock_guard guard(cell->lock);
            const std::uint64_t calls = cell->successes + noted_successes(*cell) + cell->failures;
            quality.calls = calls - std::min(calls, cell->calls_before);
            quality.failures = cell->failures - cell->failures_before;
            if (ends_interval) {
                cell->calls_before = calls;
                cell->failures_before = cell->failures;
            }
        }
        quality.latency = balance::expected_latency(cell->load, kAveraging, now);
        cell->sampled_in_flight += cell->load.in_flight.load(std::memory_order_relaxed);
        cell->sampled_latency_ns += static_cast<double>(quality.latency.count());
        if (ends_interval) {
            quality.in_flight = std::exchange(cell->sampled_in_flight, 0.0) / samples_;
            quality.latency = Duration(
                static_cast<std::int64_t>(std::exchange(cell->sampled_latency_ns, 0.0) / samples_)
            );
        }
        // Who is left out gets no calls, whatever balances them.
        if (cell->health == Health::critical || !cell->load.available(now)) continue;
        qualities.push_back(quality);
    }
    if (ends_interval) samples_ = 0;
    // Calls in flight of one moment differ by chance: only their averages are judged.
    if (!(ends_interval ? chooser_.judge(qualities) : chooser_.watch(qualities))) return false;
    events_.push(
        {.when = now,
         .service = name_,
         .endpoint = {},
         .what = "balanced by " + std::string(to_string(chooser_.choice())),
         .why = chooser_.why(),
         .label = to_string(chooser_.choice())}
    );
    return true;
}

}  // namespace datapunk::mesh::policy
