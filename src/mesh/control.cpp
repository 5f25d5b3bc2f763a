#include "mesh/control.h"

#include <cstdint>
#include <utility>

namespace datapunk::mesh::internal {

namespace {

using std::chrono::seconds;

constexpr Duration kTickInterval = seconds(1);  // what ServicePolicies::tick asks for
// Between questions that only want to know whether the registry is there.
constexpr Duration kAskAgainInterval = seconds(5);
// Services that are looked up with filters, and indexed for it, at a time.
constexpr std::size_t kIndexesMax = 1000;

}  // namespace

Control::Control(ControlParts parts)
    : loop_(parts.loop),
      log_(parts.log),
      services_(parts.services),
      collect_mutex_(parts.collect_mutex),
      timeout_(parts.timeout),
      drain_delay_(parts.drain_delay),
      elsewhere_(parts.elsewhere),
      metrics_(parts.metrics),
      observed_(new ObservedBackend(parts.loop, std::move(parts.backend), parts.metrics)),
      backend_(
          parts.loop,
          std::unique_ptr<registry::Backend>(observed_),
          parts.discovery.registry_breaker,
          parts.metrics,
          parts.log
      ),
      discovery_(parts.loop, backend_, parts.discovery, parts.log),
      discovery_collector_(parts.metrics, backend_.kind()),
      own_writes_(parts.loop, discovery_),
      registrar_({
          .loop = parts.loop,
          .backend = backend_,
          .log = parts.log,
          .metrics = parts.metrics,
          .timeout = parts.timeout,
          .drain_delay = parts.drain_delay,
          .on_announced = [this](
                              ServiceConfig config, Instant deadline
                          ) { return own_writes_.see_registered(std::move(config), deadline); },
          .on_withdrawn = [this](ServiceConfig config) { return see_gone(std::move(config)); },
          .who = parts.who,
          .network = parts.network,
          .elsewhere = parts.elsewhere,
      }) {
    backend_.on_closed([this] { discovery_.note_registry_is_back(); });
    add_cache_levels(parts.network, parts.discovery);
}

void Control::add_cache_levels(io::Network* network, const ServiceDiscoveryConfig& config) {
    discovery_.use_snapshot(files_, discovery::SnapshotWriter::Where::thread);
    if (network == nullptr || config.shared_cache.host.empty()) return;
    // What can be wrong with it was found when the options were checked.
    auto shared = discovery::SharedCache::create(*network, config.shared_cache, metrics_, log_);
    if (!shared) {
        log_.error("no shared cache", {{"error", shared.error().what}});
        return;
    }
    shared_cache_ = *std::move(shared);
    discovery_.use(*shared_cache_);
    auto breakers = SharedBreakers::create(*network, config.shared_cache, log_);
    if (breakers) shared_breakers_ = *std::move(breakers);
    auto tokens = SharedTokens::create(*network, config.shared_cache, metrics_, log_);
    if (tokens) shared_tokens_ = *std::move(tokens);
}

void Control::start() {
    tasks_.spawn(tick_each_second());
    tasks_.spawn(ask_until_answered());
}

io::Task<void> Control::tick_each_second() {
    for (;;) {
        co_await io::sleep_for(loop_, kTickInterval);
        std::vector<policy::ServicePolicies*> all;
        services_.for_each([&](ServiceState& service) {
            tick(service);
            all.push_back(&service.policies);
        });
        policy::update_dependencies(all, loop_.now());
        if (shared_breakers_ != nullptr) shared_breakers_->tick(all);
        if (shared_tokens_ != nullptr) shared_tokens_->tick(all);
        discovery_collector_.update(discovery_);
        clock_watch_.look(loop_.now(), loop_.wall_now(), log_);
    }
}

void Control::tick(ServiceState& service) {
    service.policies.tick(loop_.now());
    const auto events = service.policies.drain_events();
    for (const policy::PolicyEvent& event : events) {
        log_.info(
            event.what,
            {{"service", event.service}, {"endpoint", event.endpoint}, {"why", event.why}}
        );
    }
    const std::lock_guard lock(collect_mutex_);
    service.collector.count(events);
    service.collector.update(service.policies, loop_.now());
}

// So that is_ready() knows, also if nobody uses the mesh yet.
io::Task<void> Control::ask_until_answered() {
    while (!readiness()) {
        const Instant latest = deadline();
        auto answer = co_await backend_.services(latest);
        if (answer || readiness()) break;
        log_.warn("the registry does not answer", {{"error", answer.error().what}});
        co_await io::sleep_for(loop_, kAskAgainInterval);
    }
}

void Control::follow(ServiceState& service) {
    if (is_stopping_) return service.fail(stopping_error());
    const auto learn = [this, &service, told = std::uint64_t{0}](const EndpointChange& change
                       ) mutable {
        const std::uint64_t from = std::exchange(told, change.all->generation);
        service.learn(change.all, loop_.now(), {.change = &change, .from = from});
    };
    auto watch = discovery_.watch(service.policies.name(), learn);
    if (!watch) return service.fail(std::move(watch).error());
    followed_.push_back(*std::move(watch));
    tasks_.spawn(learn_first(&service));
}

// The watch says nothing while the registry is away; callers want to know.
io::Task<void> Control::learn_first(ServiceState* service) {
    std::string name = service->policies.name();
    const Instant latest = deadline();
    auto set = co_await discovery_.discover(std::move(name), true, latest);
    if (!set) {
        service->fail(std::move(set).error());
    } else if (!service->is_known()) {
        service->learn(*set, loop_.now());
    }
}

void Control::discover(
    std::string name, DiscoveryFilter filter, bool use_cache, Done<EndpointSetPtr> done
) {
    if (is_stopping_) return;  // `done` says so
    tasks_.spawn(answer_discover(std::move(name), std::move(filter), use_cache, std::move(done)));
}

io::Task<void> Control::answer_discover(
    std::string name, DiscoveryFilter filter, bool use_cache, Done<EndpointSetPtr> done
) {
    const Instant latest = deadline();
    auto set = co_await discovery_.discover(std::move(name), use_cache, latest);
    if (set) set = select(*std::move(set), filter);
    done(std::move(set));
}

EndpointSetPtr Control::select(EndpointSetPtr set, const DiscoveryFilter& filter) {
    if (filter.empty()) return set;
    // They hold sets that discovery may have forgotten.
    if (indexes_.size() >= kIndexesMax && !indexes_.contains(set->service)) indexes_.clear();
    const std::string name = set->service;
    return indexes_[name].select(std::move(set), filter);
}

Result<> Control::watch(
    const std::string& name, const DiscoveryFilter& filter, const std::shared_ptr<WatchState>& watch
) {
    if (is_stopping_) return stopping_error();
    auto tell = [this, watch, filter](const EndpointChange& change) {
        const bool is_all = filter.empty();
        const EndpointSetPtr seen = is_all ? change.all : select(change.all, filter);
        if (watch->offer(seen, is_all ? &change : nullptr)) deliver(elsewhere_, watch);
    };
    auto begun = discovery_.watch(name, std::move(tell));
    if (!begun) return std::move(begun).error();
    watches_.emplace(watch.get(), *std::move(begun));
    return Ok{};
}

void Control::deliver(const Elsewhere& elsewhere, const std::shared_ptr<WatchState>& watch) {
    auto work = [elsewhere, watch] {
        const WatchState::Delivered done = watch->deliver();
        if (done.again) deliver(elsewhere, watch);  // behind the others
        if (done.thrown) std::rethrow_exception(done.thrown);
    };
    if (elsewhere) {
        elsewhere(std::move(work));
    } else {
        work();
    }
}

void Control::unwatch(const WatchState* watch) {
    watches_.erase(watch);
}

void Control::register_service(ServiceConfig config, Done<Registrar::Ticket> done) {
    if (is_stopping_) return;
    tasks_.spawn(answer_register(std::move(config), std::move(done)));
}

io::Task<void> Control::answer_register(ServiceConfig config, Done<Registrar::Ticket> done) {
    const Instant latest = deadline();
    auto ticket = co_await registrar_.announce(std::move(config), latest);
    done(std::move(ticket));
}

void Control::set_health(Registrar::Ticket ticket, Health health, std::string note, Done<Ok> done) {
    if (is_stopping_) return;
    tasks_.spawn(answer_set_health(ticket, health, std::move(note), std::move(done)));
}

io::Task<void> Control::answer_set_health(
    Registrar::Ticket ticket, Health health, std::string note, Done<Ok> done
) {
    const Instant latest = deadline();
    auto told = co_await registrar_.report(ticket, health, std::move(note), latest);
    if (const ServiceConfig* config = registrar_.config_of(ticket); told && config != nullptr) {
        std::string service = config->name;
        std::string id = config->id;
        co_await own_writes_.see_health(std::move(service), std::move(id), health);
    }
    done(std::move(told));
}

io::Task<void> Control::see_gone(ServiceConfig config) {
    if (is_stopping_) co_return;  // nobody looks any more
    co_await own_writes_.see_gone(std::move(config.name), std::move(config.id));
}

void Control::withdraw(Registrar::Ticket ticket, Done<Ok> done) {
    if (is_stopping_) return;
    tasks_.spawn(answer_withdraw(ticket, std::move(done)));
}

io::Task<void> Control::answer_withdraw(Registrar::Ticket ticket, Done<Ok> done) {
    const Instant latest = withdrawal_deadline();
    auto gone = co_await registrar_.withdraw(ticket, latest);
    done(std::move(gone));
}

void Control::withdraw_id(std::string id, Done<Ok> done) {
    if (is_stopping_) return;
    tasks_.spawn(answer_withdraw_id(std::move(id), std::move(done)));
}

io::Task<void> Control::answer_withdraw_id(std::string id, Done<Ok> done) {
    const Instant latest = withdrawal_deadline();
    // Somebody else's: callers here may know it all the same.
    const std::vector<std::string> services = own_writes_.services_with(id);
    std::string asked = id;
    auto gone = co_await registrar_.withdraw_id(std::move(asked), latest);
    if (gone) {
        const auto is_back = [this, id] { return registrar_.is_busy_with(id); };
        for (const std::string& service : services) {
            co_await own_writes_.see_gone(service, id, is_back);
        }
    }
    done(std::move(gone));
}

void Control::stop(Instant deadline, Done<Ok> done) {
    if (is_stopping_) return;
    is_stopping_ = true;
    watches_.clear();
    followed_.clear();
    tasks_.cancel();
    stopping_.spawn(answer_stop(deadline, std::move(done)));
}

io::Task<void> Control::answer_stop(Instant deadline, Done<Ok> done) {
    co_await registrar_.withdraw_all(deadline);
    done(Ok{});
}

void Control::cancel() {
    tasks_.cancel();
    stopping_.cancel();
    watches_.clear();
    followed_.clear();
}

}  // namespace datapunk::mesh::internal
