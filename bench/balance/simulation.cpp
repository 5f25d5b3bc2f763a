#include "balance/simulation.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <numbers>
#include <queue>

#include "core/rng.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::bench {
namespace {

constexpr Duration kNoticeTime = std::chrono::seconds(1);  // after which a bad one should be known
constexpr Duration kTick = std::chrono::seconds(1);

struct SimulatedCall {
    Instant begun;
    std::uint32_t endpoint = 0;
    std::uint32_t client = 0;
    bool failed = false;
    std::optional<policy::HeldEndpoint> held;
};

struct SimulatedEndpoint {
    double slow = 1;
    std::optional<Duration> fails_after;
    bool is_there = true;
    bool was_always_well = true;
    Instant bad_since = kNever;
    std::uint32_t busy = 0;
    std::deque<std::uint32_t> queue;  // calls
    std::uint64_t calls = 0;          // measured ones
};

struct Event {
    enum class Kind : std::uint8_t { arrival, done, change, tick };

    Instant at;
    std::uint64_t order;  // of two at one instant the first made goes first
    Kind kind;
    std::uint32_t which;

    bool operator>(const Event& other) const {
        return at != other.at ? at > other.at : order > other.order;
    }
};

class Simulation {
  public:
    Simulation(
        const Scenario& scenario, const std::optional<ServicePolicy>& policy, std::uint64_t seed
    )
        : scenario_(scenario),
          policy_(policy),
          rng_(seed),
          end_(Instant{} + scenario.warm_up + scenario.duration),
          measured_from_(Instant{} + scenario.warm_up),
          endpoints_(scenario.endpoints) {
        double weights = 0;
        for (std::uint32_t i = 0; i < scenario.endpoints; ++i) weights += scenario.weight(i);
        mean_weight_ = weights / scenario.endpoints;
        const double mean_s =
            seconds(scenario.service_time) * std::exp(scenario.spread * scenario.spread / 2);
        const double calls_per_s =
            scenario.endpoints * scenario.concurrency * scenario.load / mean_s;
        gap_s_ = 1 / calls_per_s;
        latencies_.reserve(static_cast<std::size_t>(calls_per_s * seconds(scenario.duration) * 1.1)
        );
        if (policy) {
            for (std::uint32_t i = 0; i < scenario.clients; ++i) {
                clients_.push_back(
                    std::make_unique<policy::ServicePolicies>("simulated", *policy, seed + i)
                );
            }
        }
        for (std::uint32_t i = 0; i < scenario.events.size(); ++i) {
            add(Instant{} + scenario.events[i].at, Event::Kind::change, i);
        }
    }

    Measured run() {
        publish();
        add(now_, Event::Kind::arrival, 0);
        add(now_ + kTick, Event::Kind::tick, 0);
        while (!events_.empty()) {
            const Event event = events_.top();
            events_.pop();
            if (event.at >= end_) break;
            now_ = event.at;
            switch (event.kind) {
                case Event::Kind::arrival:
                    arrive();
                    break;
                case Event::Kind::done:
                    done(event.which);
                    break;
                case Event::Kind::change:
                    change(scenario_.events[event.which]);
                    break;
                case Event::Kind::tick:
                    for (auto& client : clients_) client->tick(now_);
                    add(now_ + kTick, Event::Kind::tick, 0);
                    break;
            }
        }
        calls_.clear();  // those that are out end without a word, before their clients
        return measured();
    }

  private:
    static double seconds(Duration duration) {
        return static_cast<double>(duration.count()) * 1e-9;
    }

    static Duration nanoseconds(double s) { return Duration(static_cast<std::int64_t>(s * 1e9)); }

    void add(Instant at, Event::Kind kind, std::uint32_t which) {
        events_.push({.at = at, .order = ++order_, .kind = kind, .which = which});
    }

    void publish() {
        EndpointSet set{.service = "simulated"};
        for (std::uint32_t i = 0; i < endpoints_.size(); ++i) {
            if (!endpoints_[i].is_there) continue;
            std::string id = std::to_string(i);
            id.insert(0, 6 - id.size(), '0');
            set.endpoints.push_back(
                {.id = id,
                 .service = set.service,
                 .host = "10.0.0.1",
                 .port = static_cast<std::uint16_t>(1 + i % 65'535),
                 .weight = scenario_.weight(i)}
            );
        }
        for (auto& client : clients_) client->update(set, now_);
    }

    void arrive() {
        add(now_ + nanoseconds(-gap_s_ * std::log(1 - rng_.unit())), Event::Kind::arrival, 0);
        std::uint32_t slot = 0;
        if (free_.empty()) {
            slot = static_cast<std::uint32_t>(calls_.size());
            calls_.emplace_back();
        } else {
            slot = free_.back();
            free_.pop_back();
        }
        SimulatedCall& call = calls_[slot];
        call.begun = now_;
        call.failed = false;
        if (!policy_) {
            const auto best = oracle();
            if (!best) return refuse(slot);
            call.endpoint = *best;
        } else {
            call.client = static_cast<std::uint32_t>(rng_.below(clients_.size()));
            policy::CallState state{resilience::Deadline()};
            auto begun = clients_[call.client]->begin_attempt(state, now_);
            auto* held = std::get_if<policy::HeldEndpoint>(&begun);
            if (held == nullptr) return refuse(slot);
            call.held.emplace(std::move(*held));
            call.endpoint = static_cast<std::uint32_t>(std::stoul(call.held->endpoint().id));
        }
        SimulatedEndpoint& endpoint = endpoints_[call.endpoint];
        if (now_ >= measured_from_) count(endpoint);
        endpoint.queue.push_back(slot);
        work(endpoint);
    }

    void count(SimulatedEndpoint& endpoint) {
        ++endpoint.calls;
        bool any_bad = false;
        for (const auto& other : endpoints_) {
            if (other.bad_since == kNever) continue;
            if (other.is_there && now_ >= other.bad_since + kNoticeTime) any_bad = true;
        }
        if (!any_bad) return;
        ++while_bad_;
        if (endpoint.bad_since != kNever && now_ >= endpoint.bad_since + kNoticeTime) ++to_bad_;
    }

    void refuse(std::uint32_t slot) {
        free_.push_back(slot);
        if (now_ >= measured_from_) ++refused_;
    }

    std::uint32_t workers(const SimulatedEndpoint& endpoint) const {
        const auto i = static_cast<std::uint32_t>(&endpoint - endpoints_.data());
        const double own = scenario_.concurrency * scenario_.weight(i) / mean_weight_;
        return std::max(1U, static_cast<std::uint32_t>(std::lround(own)));
    }

    void work(SimulatedEndpoint& endpoint) {
        while (!endpoint.queue.empty() && endpoint.busy < workers(endpoint)) {
            const std::uint32_t slot = endpoint.queue.front();
            endpoint.queue.pop_front();
            ++endpoint.busy;
            Duration takes{};
            if (endpoint.fails_after) {
                calls_[slot].failed = true;
                takes = *endpoint.fails_after;
            } else {
                takes = nanoseconds(
                    seconds(scenario_.service_time) * std::exp(scenario_.spread * normal()) *
                    endpoint.slow
                );
            }
            add(now_ + takes, Event::Kind::done, slot);
        }
    }

    double normal() {  // Box and Muller
        const double radius = std::sqrt(-2 * std::log(1 - rng_.unit()));
        return radius * std::cos(2 * std::numbers::pi * rng_.unit());
    }

    void done(std::uint32_t slot) {
        SimulatedCall& call = calls_[slot];
        SimulatedEndpoint& endpoint = endpoints_[call.endpoint];
        if (call.held) {
            const Outcome outcome = call.failed ? Outcome::server_error : Outcome::success;
            clients_[call.client]->finish_attempt(*std::exchange(call.held, {}), outcome, now_);
        }
        if (call.begun >= measured_from_) {
            latencies_.push_back(static_cast<float>(seconds(now_ - call.begun) * 1e3));
            if (call.failed) ++failed_;
        }
        free_.push_back(slot);
        --endpoint.busy;
        work(endpoint);
    }

    std::optional<std::uint32_t> oracle() {
        std::optional<std::uint32_t> best;
        double best_wait = 0;
        const auto start = static_cast<std::uint32_t>(rng_.below(endpoints_.size()));
        for (std::uint32_t i = 0; i < endpoints_.size(); ++i) {
            const auto at = static_cast<std::uint32_t>((start + i) % endpoints_.size());
            const SimulatedEndpoint& endpoint = endpoints_[at];
            if (!endpoint.is_there || endpoint.fails_after) continue;
            const double at_work = workers(endpoint);
            const auto ahead = static_cast<double>(endpoint.queue.size() + endpoint.busy);
            const double wait = endpoint.slow * (1 + std::max(0.0, ahead + 1 - at_work) / at_work);
            if (best && wait >= best_wait) continue;
            best = at;
            best_wait = wait;
        }
        return best;
    }

    void change(const ScenarioEvent& event) {
        using Kind = ScenarioEvent::Kind;
        bool membership = false;
        for (std::uint32_t i = event.first; i <= event.last; ++i) {
            SimulatedEndpoint& endpoint = endpoints_[i];
            endpoint.was_always_well = false;
            switch (event.kind) {
                case Kind::slow:
                    endpoint.slow = event.factor;
                    endpoint.bad_since = event.factor > 1 ? now_ : kNever;
                    break;
                case Kind::fail:
                    endpoint.fails_after = event.fails_after;
                    endpoint.bad_since = now_;
                    break;
                case Kind::well:
                    endpoint.slow = 1;
                    endpoint.fails_after.reset();
                    endpoint.bad_since = kNever;
                    break;
                case Kind::leave:
                case Kind::join:
                    endpoint.is_there = event.kind == Kind::join;
                    membership = true;
                    break;
            }
        }
        if (membership) publish();
    }

    Measured measured() {
        Measured result{.calls = latencies_.size() + refused_};
        if (latencies_.empty()) return result;
        std::sort(latencies_.begin(), latencies_.end());
        const auto percentile = [&](double share) {
            const auto at =
                static_cast<std::size_t>(share * static_cast<double>(latencies_.size()));
            return static_cast<double>(latencies_[std::min(at, latencies_.size() - 1)]);
        };
        result.p50_ms = percentile(0.5);
        result.p99_ms = percentile(0.99);
        result.p999_ms = percentile(0.999);
        result.failed = static_cast<double>(failed_ + refused_) / static_cast<double>(result.calls);
        if (while_bad_ > 0) {
            result.bad_share = static_cast<double>(to_bad_) / static_cast<double>(while_bad_);
        }
        double most = 0;
        double all = 0;
        double weights = 0;
        for (std::uint32_t i = 0; i < endpoints_.size(); ++i) {
            if (!endpoints_[i].was_always_well) continue;
            const auto calls = static_cast<double>(endpoints_[i].calls);
            most = std::max(most, calls / scenario_.weight(i));
            all += calls;
            weights += scenario_.weight(i);
        }
        if (all > 0) result.imbalance = most / (all / weights);
        return result;
    }

    const Scenario& scenario_;
    const std::optional<ServicePolicy>& policy_;
    core::Rng rng_;
    Instant now_{};
    Instant end_;
    Instant measured_from_;
    double gap_s_ = 0;
    double mean_weight_ = 1;
    std::vector<SimulatedEndpoint> endpoints_;
    std::vector<std::unique_ptr<policy::ServicePolicies>> clients_;
    std::deque<SimulatedCall> calls_;
    std::vector<std::uint32_t> free_;  // of calls_
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::uint64_t order_ = 0;
    std::vector<float> latencies_;
    std::uint64_t failed_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t while_bad_ = 0;
    std::uint64_t to_bad_ = 0;
};

}  // namespace

Measured simulate(
    const Scenario& scenario, const std::optional<ServicePolicy>& policy, std::uint64_t seed
) {
    return Simulation(scenario, policy, seed).run();
}

}  // namespace datapunk::mesh::bench
