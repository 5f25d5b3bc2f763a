// Agent: another configuration while it runs. As one step for whoever is served:
//
//   read, checked ─► compared: what needs a restart? ─► new services, which learn where they are
//     ─► workers: new listeners opened on all of them, or none ─► routes, listeners at once
//     ─► policies, certificates, endpoints of services that stay ─► services that go are unlisted
//
// Until the workers have taken it, everything can be undone; from there on nothing can fail.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "apps/agent.h"
#include "config/effective.h"
#include "core/hash.h"
#include "core/strings.h"
#include "metrics/names.h"
#include "wire/json_writer.h"
#include "wire/url.h"

namespace datapunk::mesh::apps {

namespace {

// How long a new service may take to be discovered before requests are routed to it.
constexpr Duration kLearnTime = std::chrono::seconds(5);
constexpr Duration kLook = std::chrono::milliseconds(20);
// Services come and go with reloads, but what belongs to one stays for as long as the process.
constexpr std::size_t kServicesMax = proxy::UpstreamServices::kServicesMax;
constexpr std::size_t kChangesShown = 1'000;

std::string_view to_string(ReloadResult::Kind kind) {
    switch (kind) {
        case ReloadResult::Kind::applied:
            return "applied";
        case ReloadResult::Kind::unchanged:
            return "unchanged";
        case ReloadResult::Kind::would_apply:
            return "would apply";
        case ReloadResult::Kind::refused:
            return "refused";
        case ReloadResult::Kind::busy:
            return "busy";
    }
    return "refused";
}

ReloadResult refused(std::string why, std::vector<config::Difference> changes = {}) {
    return {
        .kind = ReloadResult::Kind::refused, .why = std::move(why), .changes = std::move(changes)
    };
}

// Can a worker change it while callers are connected?
bool stays_open(const config::ListenerSection& a, const config::ListenerSection& b) {
    return a.name == b.name && a.address == b.address && a.port == b.port &&
           a.protocol == b.protocol && a.tls.is_on() == b.tls.is_on();
}

const config::ListenerSection* find_listener(const config::Config& config, std::string_view name) {
    for (const config::ListenerSection& section : config.listeners) {
        if (section.name == name) return &section;
    }
    return nullptr;
}

// What a worker's connections to a service do for as long as it runs.
bool speaks_as(const proxy::UpstreamTls& now, const config::ServiceTlsSection& wanted) {
    if (!wanted.enabled) return now.contexts == nullptr;
    return now.contexts != nullptr && now.server_name == wanted.server_name;
}

std::string needs_restart(const std::vector<config::Difference>& changes) {
    std::string keys;
    for (const config::Difference& change : changes) {
        if (change.effect != config::Effect::restart) continue;
        if (!keys.empty()) keys += ", ";
        if (keys.size() > 1000) {
            keys += "…";
            break;
        }
        keys += change.key;
    }
    if (keys.empty()) return {};
    return "these cannot change while the agent runs: " + keys +
           ". A new process can take them over (dpmesh agent --take-over). Nothing was changed.\n";
}

}  // namespace

// Of one reload, from the first step to the last.
struct Agent::Change {
    config::Loaded loaded;
    std::set<std::string> new_services;
    std::vector<proxy::ListenerConfig> opened;
    std::vector<std::string> new_certificates;  // of listeners: dropped if it comes to nothing
    proxy::ProxyChange workers;
};

struct Agent::Reloading {
    explicit Reloading(io::Loop& loop) : is_over(loop) {}

    io::Event is_over;
    ReloadResult result;
};

io::Task<ReloadResult> Agent::reload(bool dry) {
    if (is_reloading_) {
        co_return ReloadResult{
            .kind = ReloadResult::Kind::busy, .why = "a reload is under way already\n"
        };
    }
    if (draining_ || is_handed_over_) {
        co_return ReloadResult{.kind = ReloadResult::Kind::busy, .why = "the agent is stopping\n"};
    }
    is_reloading_ = true;
    const auto reloading = std::make_shared<Reloading>(loop_);
    tasks_.spawn(run_reload(dry, reloading));
    co_await reloading->is_over.wait(kNever);  // each of its steps has a deadline
    co_return reloading->result;
}

// Whoever asked for it may leave meanwhile.
io::Task<void> Agent::run_reload(bool dry, std::shared_ptr<Reloading> reloading) {
    ReloadResult result = co_await try_reload(dry);
    is_reloading_ = false;
    if (!dry) note_reload(result);
    reloading->result = std::move(result);
    reloading->is_over.set();
}

void Agent::note_reload(const ReloadResult& result) {
    const bool is_refused = result.kind == ReloadResult::Kind::refused;
    metrics_.counter(metrics::names::kConfigReloads, {to_string(result.kind)}, {}).add();
    if (is_refused) {
        log_.error("reload refused: the old configuration stays", {{"why", result.why}});
    } else {
        log_.info(
            "reload",
            {{"result", to_string(result.kind)},
             {"version", version_.number},
             {"changes", result.changes.size()}}
        );
    }
    note_event(
        {.when = loop_.now(),
         .what = fmt::format("configuration {}", to_string(result.kind)),
         .why = is_refused
                    ? result.why
                    : fmt::format("version {}, {} keys", version_.number, result.changes.size())}
    );
}

io::Task<ReloadResult> Agent::try_reload(bool dry) {
    auto read = hooks_.read_config();
    if (!read) co_return refused(read.error().what + "\n");
    if (!read->config) co_return refused(config::render_problems(read->problems));
    if (auto startable = check_startable(*read->config); !startable)
        co_return refused(startable.error().what + "\n");
    auto changes = config::differences(loaded_, *read);
    if (changes.empty()) co_return ReloadResult{.kind = ReloadResult::Kind::unchanged};
    if (std::string why = needs_restart(changes); !why.empty())
        co_return refused(std::move(why), std::move(changes));
    const auto change = std::make_shared<Change>();
    change->loaded = *std::move(read);
    auto table = route_table(*change->loaded.config);
    if (!table) co_return refused(table.error().what + "\n", std::move(changes));
    if (dry) {
        co_return ReloadResult{
            .kind = ReloadResult::Kind::would_apply, .why = {}, .changes = std::move(changes)
        };
    }
    change->workers.routes = *std::move(table);
    auto applied = co_await apply(change);
    if (!applied) {
        undo(*change);
        co_return refused(applied.error().what + "\n", std::move(changes));
    }
    settle(*change);
    co_return ReloadResult{
        .kind = ReloadResult::Kind::applied, .why = {}, .changes = std::move(changes)
    };
}

io::Task<Result<>> Agent::apply(std::shared_ptr<Change> change) {
    if (auto planned = plan_services(*change); !planned) co_return planned;
    if (auto planned = plan_listeners(*change); !planned) co_return planned;
    co_await wait_until_known(change->new_services);
    if (draining_) co_return Error{.code = Code::aborted, .what = "the agent is stopping"};
    change->workers.cut_at = loop_.now() + change->loaded.config->drain_timeout;
    auto bound = co_await workers_->change(change->opened, change->workers);
    if (!bound) co_return std::move(bound).error();
    for (const std::string& name : change->workers.removed) {
        std::erase_if(listeners_, [&](const BoundListener& one) { return one.name == name; });
    }
    for (const BoundListener& listener : *bound) {
        listeners_.push_back(listener);
        note_listening(listener);
    }
    co_return Ok{};
}

// They are found as soon as they are there, but no route leads to them yet.
Result<> Agent::plan_services(Change& change) {
    const config::Config& next = *change.loaded.config;
    const std::set<std::string> tcp = config::tcp_services_of(next);
    for (const std::string& name : config::services_of(next)) {
        if (services_.find(name) != nullptr) continue;
        if (services_.find_any(name) == nullptr && services_.size() >= kServicesMax) {
            return Error{
                .code = Code::exhausted,
                .what = fmt::format(
                    "{}: this process has had {} services; a new one (dpmesh agent --take-over) "
                    "begins afresh",
                    name,
                    kServicesMax
                )
            };
        }
        const policy::ServicePolicies* known = services_.find_any(name);
        if (known != nullptr && !speaks_as(services_.tls_of(*known), next.tls_of(name))) {
            return Error{
                .code = Code::invalid,
                .what = fmt::format(
                    "services.{}.tls: enabled or server_name is not what it was when this service "
                    "was last here; a new process can take it over (dpmesh agent --take-over)",
                    name
                )
            };
        }
        auto made = make_service(next, name, tcp.contains(name));
        if (!made) return std::move(made).error();
        change.new_services.insert(name);
        removed_.erase(name);
        set_service(next, **made);
    }
    return Ok{};
}

Result<> Agent::plan_listeners(Change& change) {
    const config::Config& next = *change.loaded.config;
    for (const config::ListenerSection& old : config().listeners) {
        const config::ListenerSection* fresh = find_listener(next, old.name);
        if (fresh == nullptr || !stays_open(old, *fresh))
            change.workers.removed.push_back(old.name);
    }
    for (const config::ListenerSection& section : next.listeners) {
        const config::ListenerSection* old = find_listener(config(), section.name);
        const bool stays = old != nullptr && stays_open(*old, section);
        if (stays && *old == section) continue;
        const bool had_tls = old != nullptr && old->tls.is_on();
        if (section.tls.is_on() && !had_tls) {
            change.new_certificates.push_back("listener " + section.name);
        }
        // One that had certificates gets others when the rest has come about.
        auto slot = had_tls ? certificates_.find("listener " + section.name)
                            : listener_certificates(section);
        if (!slot) return std::move(slot).error();
        auto listener =
            listener_config(section, section.tls.is_on() ? *slot : Certificates::Slot());
        if (!listener) return std::move(listener).error();
        (stays ? change.workers.changed : change.opened).push_back(*std::move(listener));
    }
    return Ok{};
}

io::Task<void> Agent::wait_until_known(std::set<std::string> services) {
    if (discovery_ == nullptr) co_return;
    const Instant latest = loop_.now() + kLearnTime;
    for (const std::string& name : services) {
        while (watches_.contains(name) && discovery_->known(name) == nullptr && loop_.now() < latest
        ) {
            co_await io::sleep_for(loop_, kLook);
        }
    }
}

void Agent::undo(const Change& change) {
    for (const std::string& user : change.new_certificates) certificates_.drop(user);
    for (const std::string& name : change.new_services) remove_service(name);
}

// The workers have taken it: what is left cannot fail.
void Agent::settle(Change& change) {
    const config::Loaded before = std::exchange(loaded_, std::move(change.loaded));
    settle_certificates(*before.config);
    const std::set<std::string> wanted = config::services_of(config());
    std::vector<policy::ServicePolicies*> all;
    services_.for_each([&](policy::ServicePolicies& service) { all.push_back(&service); });
    for (policy::ServicePolicies* service : all) {
        if (!wanted.contains(service->name())) {
            remove_service(service->name());
        } else if (!change.new_services.contains(service->name())) {
            set_service(config(), *service);
        }
    }
    const config::AccessLogSection& access = config().access_log;
    access_log_->set_rules({.sample = access.sample, .slow = access.slow});
    if (config().log.level != before.config->log.level) hooks_.set_log_level(config().log.level);
    note_config();
}

void Agent::settle_certificates(const config::Config& before) {
    const auto told = [this](const auto& put) {
        if (put) return;  // they were read a moment ago, and are not the same any more
        log_.error("certificates cannot be used: the old ones stay", {{"why", put.error().what}});
    };
    for (const config::ListenerSection& section : config().listeners) {
        const config::ListenerSection* old = find_listener(before, section.name);
        if (old != nullptr && old->tls.is_on() && section.tls.is_on() && !(old->tls == section.tls))
            told(listener_certificates(section));
    }
    for (const config::ListenerSection& old : before.listeners) {
        const config::ListenerSection* section = find_listener(config(), old.name);
        if (old.tls.is_on() && (section == nullptr || !section->tls.is_on()))
            certificates_.drop("listener " + old.name);
    }
    const std::set<std::string> tcp = config::tcp_services_of(config());
    for (const std::string& name : config::services_of(config())) {
        const auto& wanted = config().tls_of(name);
        if (!wanted.enabled || wanted == before.tls_of(name)) continue;
        const Alpn alpn = tcp.contains(name) ? Alpn::none : Alpn::http1;
        told(certificates_.put("service " + name, tls_config_of(wanted, alpn)));
    }
}

// Its policy and where its endpoints come from, as that configuration has it.
void Agent::set_service(const config::Config& config, policy::ServicePolicies& service) {
    const ServicePolicy policy = config.policy_of(service.name());
    service.set_policy(policy, loop_.now());
    services_.connections_of(service).max = policy.limits.connections;
    if (has_fixed_endpoints(config, service.name())) {
        watches_.erase(service.name());
        use_fixed_endpoints(config, service);
    } else {
        follow_service(service);
    }
}

// Requests in flight may still be under way to it, and try again; it keeps its endpoints for as
// long as that may take.
void Agent::remove_service(const std::string& name) {
    services_.list(name, false);
    watches_.erase(name);
    if (const auto collector = collectors_.find(name); collector != collectors_.end()) {
        collector->second->update(*services_.find_any(name), loop_.now());
        collectors_.erase(collector);
    }
    removed_[name] = loop_.now();
}

void Agent::forget_removed() {
    std::erase_if(removed_, [this](const auto& removed) {
        const auto& [name, since] = removed;
        if (loop_.now() - since < config().drain_timeout) return false;
        policy::ServicePolicies& service = *services_.find_any(name);
        service.update(EndpointSet{.service = name}, loop_.now());
        service.tick(loop_.now());
        return true;
    });
}

void Agent::note_config() {
    ++version_.number;
    version_.hash = core::hash64(config::to_yaml(config::effective(loaded_)));
    version_.loaded_at = loop_.wall_now();
    version_.number_gauge = metrics_.gauge(metrics::names::kConfigVersion, {}, {});
    version_.number_gauge.set(static_cast<double>(version_.number));
    version_.loaded_gauge = metrics_.gauge(metrics::names::kConfigLoaded, {}, {});
    version_.loaded_gauge.set(
        std::chrono::duration<double>(version_.loaded_at.time_since_epoch()).count()
    );
}

namespace {

void write_version(
    wire::JsonWriter& json, std::uint64_t number, std::uint64_t hash, WallTime loaded_at
) {
    json.key("version").begin_object();
    json.key("number").number(number);
    json.key("hash").string(fmt::format("{:016x}", hash));
    json.key("loaded_at").string(core::format_utc(loaded_at));
    json.end_object();
}

int status_of(ReloadResult::Kind kind) {
    switch (kind) {
        case ReloadResult::Kind::refused:
            return 422;
        case ReloadResult::Kind::busy:
            return 409;
        default:
            return 200;
    }
}

}  // namespace

// {"version": {…}, "config": …, "origins": …}
std::string Agent::config_page() const {
    std::string text;
    wire::JsonWriter json(text);
    json.begin_object();
    write_version(json, version_.number, version_.hash, version_.loaded_at);
    json.end_object();
    text.back() = ',';
    return text + config::to_json(config::effective(loaded_)).substr(1);
}

void Agent::add_reload_pages() {
    admin_.add_work(
        "/config/reload",
        "reads the configuration anew; ?dry_run=true only says what would change; &format=text",
        [this](http::Request request) { return reload_page(std::move(request)); }
    );
}

io::Task<http::Response> Agent::reload_page(http::Request request) {
    const auto query = wire::Query::parse(request.query());
    if (!query) co_return http::text_response(400, query.error().what + "\n");
    const auto dry = query->value("dry_run");
    if (dry && *dry != "true" && *dry != "false") {
        co_return http::text_response(400, "dry_run is true or false\n");
    }
    const bool is_dry = dry && *dry == "true";
    const bool as_text = query->value("format") == "text";
    const ReloadResult result = co_await reload(is_dry);
    if (as_text) {
        std::string text = config::to_text(result.changes);
        text += result.why;
        if (result.why.empty()) {
            text += fmt::format("{}: version {}\n", to_string(result.kind), version_.number);
        }
        co_return http::text_response(status_of(result.kind), std::move(text));
    }
    std::string text;
    wire::JsonWriter json(text, true);
    json.begin_object();
    json.key("result").string(to_string(result.kind));
    write_version(json, version_.number, version_.hash, version_.loaded_at);
    if (!result.why.empty()) json.key("why").string(result.why);
    json.key("changes").begin_array();
    for (std::size_t i = 0; i < std::min(result.changes.size(), kChangesShown); ++i) {
        const config::Difference& change = result.changes[i];
        json.begin_object();
        json.key("key").string(change.key).key("from").string(change.from);
        json.key("to").string(change.to).key("origin").string(change.origin);
        json.key("needs_restart").boolean(change.effect == config::Effect::restart);
        json.end_object();
    }
    json.end_array().end_object();
    co_return http::json_response(status_of(result.kind), std::move(text));
}

}  // namespace datapunk::mesh::apps
