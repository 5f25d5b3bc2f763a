#include "apps/agent.h"

#include <fmt/format.h>

#include "apps/build_info.h"
#include "apps/discovery_settings.h"
#include "apps/endpoint_query.h"
#include "apps/listener_settings.h"
#include "config/effective.h"
#include "config/routes.h"
#include "io/heap_trim.h"
#include "routing/route_table.h"
#include "wire/url.h"

namespace datapunk::mesh::apps {

namespace {

constexpr std::size_t kEventsMax = 512;  // shown on /events; older ones are in the log
constexpr Duration kTick = std::chrono::seconds(1);

}  // namespace

Result<> check_startable(const config::Config& config) {
    if (auto usable = check_certificates(config); !usable) return usable;
    for (const auto& listener : config.listeners) {
        if (auto made = listener_of(listener, nullptr); !made) return std::move(made).error();
    }
    std::vector<std::pair<std::string, std::string>> addresses = {
        {"admin.address", config.admin.address},
        {"registry.embedded.address", config.registry.embedded.address}
    };
    for (const auto& listener : config.listeners)
        addresses.emplace_back("listener " + listener.name, listener.address);
    for (const auto& [where, address] : addresses) {
        auto parsed = io::parse_ip(address, 0);
        if (parsed) continue;
        Error error = std::move(parsed).error();
        error.what = where + ": " + error.what;
        return error;
    }
    return Ok{};
}

Agent::Agent(
    io::EpollLoop& loop,
    config::Loaded loaded,
    bool dev,
    io::ListeningSockets& sockets,
    core::Logger log,
    AgentHooks hooks
)
    : loop_(loop),
      loaded_(std::move(loaded)),
      dev_(dev),
      log_(std::move(log)),
      hooks_(std::move(hooks)),
      sockets_(sockets),
      network_(loop, &sockets),
      processes_(loop),
      certificates_(loop, metrics_, log_),
      metrics_page_(metrics_, build_info()),
      admin_(config().admin.token.reveal()),
      admin_server_(network_, admin_, {}, log_),
      taken_over_(loop) {}

Agent::~Agent() = default;

Result<> Agent::start(io::HandoverClient* predecessor) {
    if (auto made = make_services(); !made) return made;
    const bool is_embedded = config().registry.kind == config::RegistryKind::embedded;
    if (predecessor != nullptr && is_embedded) {  // one process has the state, and its DNS port
        if (auto released = predecessor->release(); !released) return released;
    }
    if (auto shared = start_sharing(); !shared) return shared;
    if (auto registry = start_registry(); !registry) return registry;
    if (predecessor != nullptr) {
        if (auto known = wait_for_services(); !known) return known;
    }
    if (auto workers = start_workers(); !workers) return workers;
    if (auto admin = start_admin(); !admin) return admin;
    if (predecessor != nullptr) {
        if (auto followed = follow(*predecessor); !followed) return followed;
    }
    if (auto listening = listen_for_follower(); !listening) return listening;
    for (ServiceConfig registration : config().registrations) {
        const std::string& zone = config().node.zone;
        if (registration.zone.empty() && !registration.meta.contains(meta_key::zone)) {
            registration.zone = zone;
        }
        // The configuration has passed the same check; here it fills in what was left out.
        auto complete = checked(std::move(registration));
        if (!complete) return std::move(complete).error();
        tasks_.spawn(announce(*std::move(complete)));
    }
    certificates_.start();
    note_config();
    tasks_.spawn(tick_loop());
    tasks_.spawn(io::keep_heap_small(loop_));
    return Ok{};
}

Result<> Agent::start_sharing() {
    const SharedCacheConfig redis = discovery_of(config()).shared_cache;
    if (redis.host.empty()) return Ok{};
    auto shared = internal::SharedBreakers::create(network_, redis, log_);
    if (!shared) return std::move(shared).error();
    shared_breakers_ = *std::move(shared);
    auto tokens = internal::SharedTokens::create(network_, redis, metrics_, log_);
    if (!tokens) return std::move(tokens).error();
    shared_tokens_ = *std::move(tokens);
    return Ok{};
}

Result<> Agent::start_registry() {
    if (config().registry.kind == config::RegistryKind::fixed) return Ok{};
    auto backend = connect_registry(config().registry.kind);
    if (!backend) return std::move(backend).error();
    auto observed =
        std::make_unique<internal::ObservedBackend>(loop_, *std::move(backend), metrics_);
    observed_ = observed.get();
    const ServiceDiscoveryConfig discovery = discovery_of(config());
    backend_ = std::make_unique<registry::BreakerBackend>(
        loop_, std::move(observed), discovery.registry_breaker, metrics_, log_
    );
    discovery_ = std::make_unique<discovery::ServiceDiscovery>(loop_, *backend_, discovery, log_);
    backend_->on_closed([this] { discovery_->note_registry_is_back(); });
    if (!discovery.shared_cache.host.empty()) {
        auto shared =
            discovery::SharedCache::create(network_, discovery.shared_cache, metrics_, log_);
        if (!shared) return std::move(shared).error();
        shared_cache_ = *std::move(shared);
        discovery_->use(*shared_cache_);
    }
    discovery_->use_snapshot(files_, discovery::SnapshotWriter::Where::thread);
    discovery_collector_ =
        std::make_unique<discovery::DiscoveryCollector>(metrics_, backend_->kind());
    own_writes_ = std::make_unique<internal::OwnWrites>(loop_, *discovery_);
    registrar_ = std::make_unique<internal::Registrar>(internal::RegistrarParts{
        .loop = loop_,
        .backend = *backend_,
        .log = log_,
        .metrics = metrics_,
        .timeout = std::chrono::seconds(5),
        .drain_delay = config().drain_delay,
        .on_announced = [this](
                            ServiceConfig config, Instant deadline
                        ) { return own_writes_->see_registered(std::move(config), deadline); },
        .on_withdrawn =
            [this](ServiceConfig config) {
                return own_writes_->see_gone(std::move(config.name), std::move(config.id));
            },
        .who = internal::Ownership::of_this_process(config().node.owner),
        .network = &network_,
        .processes = config().registry.exec_checks ? &processes_ : nullptr
    });
    follow_services();
    if (watches_.empty()) tasks_.spawn(ask_until_answered());
    return Ok{};
}

// So that /ready knows, also if there is no service to follow.
io::Task<void> Agent::ask_until_answered() {
    while (!observed_->readiness()) {
        const Instant deadline = loop_.now() + std::chrono::seconds(5);
        auto answer = co_await backend_->services(deadline);
        if (answer) co_return;
        co_await io::sleep_for(loop_, kTick);
    }
}

// Tries until the registry takes it: an outage at the start is not the end.
io::Task<void> Agent::announce(ServiceConfig registration) {
    Duration pause = std::chrono::milliseconds(500);
    for (;;) {
        auto announced =
            co_await registrar_->announce(registration, loop_.now() + std::chrono::seconds(10));
        if (announced || draining_) co_return;
        log_.warn(
            "not registered yet",
            {{"service", registration.name},
             {"id", registration.id},
             {"why", announced.error().what}}
        );
        co_await io::sleep_for(loop_, pause);
        pause = std::min<Duration>(pause * 2, std::chrono::seconds(30));
    }
}

http::Response Agent::explain(const http::Request& request) const {
    const auto query = wire::Query::parse(request.query());
    if (!query) return http::text_response(400, query.error().what + "\n");
    std::vector<Explained> all;
    if (const auto id = query->value("id")) {
        for (const auto& record : requests_.find(*id)) {
            const policy::ServicePolicies* service = nullptr;
            services_.for_each([&](const policy::ServicePolicies& one) {
                if (reinterpret_cast<std::uintptr_t>(&one) == record.service) service = &one;
            });
            const Instant when{Duration(record.arrived_ns)};
            all.push_back({.ago = loop_.now() - when, .lines = proxy::in_words(record, service)});
        }
        if (all.empty()) {
            return http::text_response(404, "not among the last requests of any worker\n");
        }
    } else if (const auto name = query->value("service")) {
        const policy::ServicePolicies* service = services_.find(*name);
        if (service == nullptr) return http::text_response(404, "no such service\n");
        for (auto& decision : service->decisions()) {
            all.push_back({.ago = loop_.now() - decision.when, .lines = {std::move(decision.text)}}
            );
        }
    } else {
        return http::text_response(400, "say ?id= or ?service=\n");
    }
    if (query->value("format") == "text") return http::text_response(200, explained_text(all));
    return http::json_response(200, explained_json(all));
}

Result<> Agent::start_admin() {
    add_pages();
    auto address = io::parse_ip(config().admin.address, config().admin.port);
    if (!address) return std::move(address).error();
    auto listening = admin_server_.listen(*address);
    if (!listening) {
        Error error = std::move(listening).error();
        error.what = "admin: " + error.what;
        return error;
    }
    log_.info("admin API", {{"address", admin_server_.local().to_string()}});
    return Ok{};
}

http::Response Agent::endpoints_page(const http::Request& request) const {
    auto query = parse_endpoint_query(request.query());
    if (!query) return http::text_response(400, query.error().what + "\n");
    std::vector<policy::ServiceView> views;
    services_.for_each([&](const policy::ServicePolicies& service) {
        views.push_back(service.view(loop_.now()));
    });
    const auto known = [this](std::string_view service) {
        return discovery_ == nullptr ? nullptr : discovery_->known(routing::service_of(service));
    };
    views = select(std::move(views), *query, known);
    return http::json_response(200, endpoints_json(views, loop_.now()));
}

void Agent::add_pages() {
    admin_.add("/live", "200 while the control loop turns", [](const http::Request&) {
        return http::json_response(200, "{\"live\": true}\n");
    });
    admin_.add(
        "/ready",
        "200 when traffic is welcome, else 503 with the reasons",
        [this](const http::Request&) {
            const std::vector<Unready> reasons = unready();
            return http::json_response(reasons.empty() ? 200 : 503, ready_json(reasons));
        }
    );
    admin_.add(
        "/config",
        "the configuration in force, each value with its origin",
        [this](const http::Request&) { return http::json_response(200, config_page()); }
    );
    admin_.add(
        "/endpoints",
        "services and endpoints: health, breaker, ejection, load; ?service= &tag= &meta= &zone= …",
        [this](const http::Request& request) { return endpoints_page(request); }
    );
    admin_.add(
        "/events",
        "what happened lately: ejections, breakers, registry, drain",
        [this](const http::Request&) { return http::json_response(200, events_json(events_)); }
    );
    admin_.add(
        "/explain",
        "why: ?id= of a request (x-request-id or trace id), or ?service= for its last decisions; "
        "&format=text",
        [this](const http::Request& request) { return explain(request); }
    );
    add_reload_pages();
    admin_.add_action(
        "/breaker",
        "?service=NAME[&endpoint=ID]&force=open|closed|none: an operator's word",
        [this](const http::Request& request) {
            return force_breaker(services_, request.query(), loop_.now());
        }
    );
    if (config().metrics.enabled) {
        admin_.add(
            "/metrics",
            "Prometheus or OpenMetrics text",
            [this](const http::Request& request) { return metrics_page_.respond(request); }
        );
    }
}

std::vector<Unready> Agent::unready() const {
    std::vector<Unready> reasons;
    if (draining_) reasons.push_back({"drain", "the agent is shutting down"});
    if (backend_ != nullptr) {
        if (auto registry = observed_->readiness(); !registry)
            reasons.push_back({"registry", registry.error().what});
    }
    if (!reasons.empty()) return reasons;
    for (const auto& [name, watch] : watches_) {
        if (discovery_->known(routing::service_of(name)) == nullptr)
            reasons.push_back({"discovery", "the registry did not say yet where " + name + " is"});
    }
    return reasons;
}

// For /events; the log has it from whoever asked the registry.
void Agent::note_registry() {
    if (backend_ == nullptr) return;
    const auto readiness = observed_->readiness();
    const bool answers = static_cast<bool>(readiness);
    if (answers == registry_answers_) return;
    registry_answers_ = answers;
    note_event(
        {.when = loop_.now(),
         .what = registry_answers_ ? "registry answers" : "registry fails",
         .why = registry_answers_ ? std::string() : readiness.error().what}
    );
}

void Agent::note_event(policy::PolicyEvent event) {
    log_.info(
        "event",
        {{"service", event.service},
         {"endpoint", event.endpoint},
         {"what", event.what},
         {"why", event.why}}
    );
    if (events_.size() == kEventsMax) events_.pop_front();
    const WallTime at = loop_.wall_now() - (loop_.now() - event.when);
    events_.push_back({at, std::move(event)});
}

io::Task<void> Agent::tick_loop() {
    for (;;) {
        co_await io::sleep_for(loop_, kTick);
        std::vector<policy::ServicePolicies*> all;
        services_.for_each([&](policy::ServicePolicies& service) {
            service.tick(loop_.now());
            all.push_back(&service);
        });
        policy::update_dependencies(all, loop_.now());
        if (shared_breakers_ != nullptr) shared_breakers_->tick(all);
        if (shared_tokens_ != nullptr) shared_tokens_->tick(all);
        forget_removed();
        collect();
        note_registry();
        clock_watch_.look(loop_.now(), loop_.wall_now(), log_);
    }
}

io::Task<void> Agent::stop() {
    draining_ = true;
    if (!is_handed_over_)
        note_event({.when = loop_.now(), .what = "drain", .why = "the agent was told to stop"});
    log_.info(
        "draining",
        {{"timeout_seconds", std::chrono::duration<double>(config().drain_timeout).count()}}
    );
    // First out of the registry, so that callers stop coming; then what is in flight.
    if (registrar_ != nullptr && !is_handed_over_) {
        const Duration drain = config().drain_delay * 5 / 4;
        co_await registrar_->withdraw_all(loop_.now() + drain + std::chrono::seconds(5));
    }
    const Instant deadline = loop_.now() + config().drain_timeout;
    co_await workers_->drain(deadline);
    watches_.clear();
    if (local_registry_ != nullptr)
        co_await local_registry_->drain(loop_.now() + std::chrono::seconds(1));
    co_await admin_server_.drain(loop_.now() + std::chrono::seconds(1));
}

}  // namespace datapunk::mesh::apps
