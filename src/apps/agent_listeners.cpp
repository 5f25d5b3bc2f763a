// Agent: where callers connect: what the configuration says of listeners, as the workers want it.

#include "apps/agent.h"
#include "apps/listener_settings.h"
#include "config/routes.h"
#include "metrics/names.h"
#include "routing/route_table.h"

namespace datapunk::mesh::apps {

Result<std::shared_ptr<const routing::RouteTable>> Agent::route_table(const config::Config& config
) {
    auto table = routing::RouteTable::create(config::routes_of(config));
    if (!table) return std::move(table).error();
    return std::make_shared<const routing::RouteTable>(*std::move(table));
}

// As this section has them from now on; none if it speaks plain text.
Result<Certificates::Slot> Agent::listener_certificates(const config::ListenerSection& section) {
    if (!section.tls.is_on()) return Certificates::Slot();
    return certificates_.put(
        "listener " + section.name,
        tls_config_of(
            section.tls, section.protocol == config::ListenerProtocol::tcp ? Alpn::none : Alpn::http
        )
    );
}

Result<proxy::ListenerConfig> Agent::listener_config(
    const config::ListenerSection& section, const Certificates::Slot& slot
) {
    return listener_of(section, slot);
}

Result<> Agent::start_workers() {
    auto table = route_table(config());
    if (!table) return std::move(table).error();
    std::vector<proxy::ListenerConfig> listeners;
    for (const auto& section : config().listeners) {
        auto slot = listener_certificates(section);
        if (!slot) return std::move(slot).error();
        auto listener = listener_config(section, *slot);
        if (!listener) return std::move(listener).error();
        listeners.push_back(*std::move(listener));
    }
    if (auto opened = open_access_log(); !opened) return opened;
    workers_ = std::make_unique<WorkerPool>(
        loop_,
        proxy::ProxyShared{
            .routes = *std::move(table),
            .services = services_,
            .metrics = metrics_,
            .log = log_,
            .pool = {.loops = &loops_},
            .requests = &requests_,
            .access_log = access_log_.get()
        },
        sockets_
    );
    auto bound = workers_->start(config().workers, listeners);
    if (!bound) return std::move(bound).error();
    listeners_ = *std::move(bound);
    for (const BoundListener& listener : listeners_) note_listening(listener);
    return Ok{};
}

Result<> Agent::open_access_log() {
    const config::AccessLogSection& section = config().access_log;
    auto lines = io::LineWriter::open({.path = section.file});
    if (!lines) {
        Error error = std::move(lines).error();
        error.what = "access_log.file: " + error.what;
        return error;
    }
    // With the log, it reads as the log does.
    const core::LogFormat format =
        section.file.empty() ? config().log.format : core::LogFormat::json;
    access_log_ = std::make_unique<proxy::AccessLog>(*std::move(lines), format);
    access_log_->set_rules({.sample = section.sample, .slow = section.slow});
    return Ok{};
}

void Agent::reopen_access_log() {
    if (access_log_ == nullptr) return;
    if (auto reopened = access_log_->lines().reopen(); !reopened) {
        log_.error(
            "access log cannot be opened again: the old file stays",
            {{"why", reopened.error().what}}
        );
    }
}

void Agent::count_access_log() {
    if (access_log_ == nullptr) return;
    const auto count =
        [this](std::string_view result, std::uint64_t total, std::uint64_t& counted) {
            metrics_.counter(metrics::names::kAccessLogLines, {result}, {}).add(total - counted);
            counted = total;
        };
    count("written", access_log_->lines().written(), access_written_);
    count("dropped", access_log_->lines().dropped(), access_dropped_);
}

void Agent::note_listening(const BoundListener& listener) const {
    log_.info(
        "listening", {{"listener", listener.name}, {"address", listener.address.to_string()}}
    );
}

}  // namespace datapunk::mesh::apps
