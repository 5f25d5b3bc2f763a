#include "policy/dependencies.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include "policy/service_policies.h"

namespace datapunk::mesh::policy {

namespace {

class Graph {
  public:
    explicit Graph(std::span<const ServiceStanding> services) : services_(services) {
        for (std::size_t i = 0; i < services.size(); ++i) index_.emplace(services[i].name, i);
        edges_.resize(services.size());
        for (std::size_t i = 0; i < services.size(); ++i) {
            for (const std::string& name : services[i].dependencies) {
                const auto at = index_.find(name);
                if (at != index_.end()) edges_[i].push_back(at->second);
            }
        }
    }

    // Breadth first from `from`: the first that fails is the nearest.
    Degradation of(std::size_t from) const {
        Degradation out;
        std::vector<std::size_t> queue{from};
        std::vector<std::size_t> reached_by(services_.size(), kNobody);
        reached_by[from] = from;
        std::size_t culprit = kNobody;
        for (std::size_t at = 0; at < queue.size() && culprit == kNobody; ++at) {
            for (const std::size_t next : edges_[queue[at]]) {
                if (reached_by[next] != kNobody) continue;
                reached_by[next] = queue[at];
                queue.push_back(next);
                if (!services_[next].failing.empty()) {
                    culprit = next;
                    break;
                }
            }
        }
        if (culprit == kNobody) return out;
        out.because = services_[culprit].name + ": " + services_[culprit].failing;
        for (std::size_t at = reached_by[culprit]; at != from; at = reached_by[at]) {
            out.because = services_[at].name + ", because of " + out.because;
        }
        const auto& optional = services_[from].optional;
        out.is_blocked = std::any_of(edges_[from].begin(), edges_[from].end(), [&](std::size_t i) {
            const ServiceStanding& one = services_[i];
            return i != from && !one.failing.empty() &&
                   std::find(optional.begin(), optional.end(), one.name) == optional.end();
        });
        return out;
    }

  private:
    static constexpr std::size_t kNobody = static_cast<std::size_t>(-1);

    std::span<const ServiceStanding> services_;
    std::map<std::string_view, std::size_t> index_;
    std::vector<std::vector<std::size_t>> edges_;
};

}  // namespace

std::vector<Degradation> degradations(std::span<const ServiceStanding> services) {
    std::vector<Degradation> out(services.size());
    const bool all_well = std::all_of(services.begin(), services.end(), [](const auto& service) {
        return service.failing.empty();
    });
    if (all_well) return out;
    const Graph graph(services);
    for (std::size_t i = 0; i < services.size(); ++i) out[i] = graph.of(i);
    return out;
}

void update_dependencies(std::span<ServicePolicies* const> services, Instant now) {
    std::vector<ServiceStanding> standings;
    standings.reserve(services.size());
    for (const ServicePolicies* service : services) standings.push_back(service->standing(now));
    const std::vector<Degradation> found = degradations(standings);
    for (std::size_t i = 0; i < services.size(); ++i) services[i]->set_degraded(found[i], now);
}

// Lock-free look at the endpoints, as pickers see them.
std::string ServicePolicies::failing(Instant now) const {
    const ServiceBreaker::View breaker = breaker_.view(now);
    if (breaker.forced == BreakerForce::open) return "its circuit breaker is held open";
    if (breaker.state == resilience::BreakerState::open) return "its circuit breaker is open";
    const core::EpochGuard guard;
    const Table* table = table_.load(std::memory_order_acquire);
    if (table == nullptr || table->cells.empty()) return {};  // nothing is known about it
    for (const CellLine line : table->cells) {
        if (line.load().available(now)) return {};
    }
    return "none of its " + std::to_string(table->known) + " endpoints is available";
}

ServiceStanding ServicePolicies::standing(Instant now) const {
    ServiceStanding out{.name = name_, .failing = failing(now)};
    out.optional = policy()->dependencies.optional;
    const std::lock_guard guard(mutex_);
    out.dependencies = dependencies_;
    return out;
}

void ServicePolicies::set_degraded(const Degradation& found, Instant now) {
    {
        const std::lock_guard guard(mutex_);
        is_blocked_.store(
            found.is_blocked && rules().dependencies.fail_fast, std::memory_order_relaxed
        );
        publish_questions();
        if (degraded_because_ == found.because) return;
        const bool was_degraded = !degraded_because_.empty();
        degraded_because_ = found.because;
        if (was_degraded && !found.because.empty()) return;  // another reason: no other news
    }
    events_.push(
        {.when = now,
         .service = name_,
         .endpoint = {},
         .what = found.because.empty() ? "no longer degraded" : "degraded",
         .why = found.because.empty() ? "what it depends on works again" : found.because,
         .label = {}}
    );
}

std::string ServicePolicies::degraded_because() const {
    const std::lock_guard guard(mutex_);
    return degraded_because_;
}

Error ServicePolicies::to_error(const NoEndpoint& why, Instant now) const {
    Error error = policy::to_error(why, name_, now);
    if (why.reason != NoEndpoint::Reason::dependency) return error;
    const std::string because = degraded_because();
    if (!because.empty()) error.what = name_ + ": depends on " + because;
    return error;
}

}  // namespace datapunk::mesh::policy
