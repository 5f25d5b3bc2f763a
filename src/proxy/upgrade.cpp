// Requests that want to go on in another protocol: WebSocket, above all.
//
// What is passed on is one protocol that the listener allows, of a request without a body; any
// other Upgrade is left out, which its sender must expect. Nothing is taken for upgraded but an
// answer 101 that names the same protocol, with the proof that WebSocket asks for: a proxy that
// believes less can be made to relay requests that it has never looked at.

#include <algorithm>
#include <array>

#include "core/strings.h"
#include "metrics/names.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "proxy/relay_outcome.h"
#include "proxy/websocket.h"
#include "wire/http1/field_line.h"

namespace datapunk::mesh::proxy {

using wire::http1::Field;
using wire::http1::Framing;
using wire::http1::Header;
using wire::http1::Method;

namespace {

std::size_t count_of(const wire::http1::Head& head, std::string_view name) {
    return static_cast<std::size_t>(std::count_if(
        head.fields.begin(),
        head.fields.end(),
        [&](const Field& field) { return core::equals_ignoring_case(field.name, name); }
    ));
}

std::string_view value_of(const wire::http1::Head& head, std::string_view name) {
    const Field* const field = head.find(name);
    return field == nullptr ? std::string_view() : field->value;
}

}  // namespace

// The extended CONNECT of HTTP/2 (RFC 8441).
bool Exchange::is_extended_connect() const noexcept {
    return request_.has_upgrade && request_.major_version == 2;
}

// Before the request is routed.
void Exchange::read_upgrade() {
    if (!request_.has_upgrade) return;
    const bool has_body = request_.framing == Framing::chunked || request_.content_length > 0;
    if (has_body || request_.expects_continue) return;
    const auto& allowed = listener_.config.upgrade.protocols;
    const auto take = [&](std::string_view protocol) {
        const auto found = std::find_if(allowed.begin(), allowed.end(), [&](const auto& name) {
            return core::equals_ignoring_case(name, protocol);
        });
        if (upgrade_.empty() && found != allowed.end()) upgrade_ = *found;
    };
    if (is_extended_connect()) {
        take(request_.upgrade);
    } else {
        for (const Field& field : request_.fields) {
            if (field.id == Header::upgrade) wire::http1::for_each_element(field.value, take);
        }
    }
    if (upgrade_ != kWebSocket) return;
    if (is_extended_connect()) {
        websocket_key_ = new_websocket_key(proxy_.loop().rng());
    } else if (request_.method != Method::get || count_of(request_, kWebSocketKey) != 1) {
        upgrade_.clear();
    }
}

// Whether the endpoint's answer means what it says: what follows is of the protocol that was asked
// for, and begins right here.
bool Exchange::has_switched() const {
    if (upgrade_.empty() || answer_.status != 101) return false;
    // Http2Upstream has written it so for a tunnel that it asked for.
    if (answer_.major_version == 2) return answer_.has_upgrade;
    const bool is_clean = !answer_.has_content_length && !answer_.has(Header::transfer_encoding);
    const bool is_named = answer_.has_upgrade && count_of(answer_, "upgrade") == 1 &&
                          core::equals_ignoring_case(answer_.upgrade, upgrade_);
    if (!is_clean || !is_named) return false;
    if (upgrade_ != kWebSocket) return true;
    const std::string_view key = is_extended_connect() ? std::string_view(websocket_key_)
                                                       : value_of(request_, kWebSocketKey);
    return count_of(answer_, kWebSocketAccept) == 1 &&
           value_of(answer_, kWebSocketAccept) == websocket_accept(key);
}

io::Task<void> Exchange::relay_switched(policy::HeldEndpoint at) {
    // The endpoint has proved itself: it is in flight from here on, but no longer judged.
    service_->confirm_attempt(at, answered_at_);
    caller_.unwatch();
    keep_alive_ = false;
    head_sent_ = true;
    auto told = co_await caller_.switch_protocols(answer_, piece_deadline());
    if (told) {
        status_ = 101;
        const auto end = co_await relay_tunnel();
        outcome_ = outcome_of(end);
        if (end != io::RelayEnd::finished) {
            caller_.reset();
            upstream_->reset();
        }
    } else {
        client_gone_ = true;
        caller_.reset();
    }
    drop_upstream();
    service_->finish_attempt(std::move(at), resilience::Outcome::success, now());
}

io::Task<io::RelayEnd> Exchange::relay_tunnel() {
    const ListenerUpgrade& config = listener_.config.upgrade;
    const Duration longest = config.duration_max;
    const io::RelayConfig bounds{
        .idle_timeout = config.idle_timeout,
        .deadline = longest > Duration::zero() ? answered_at_ + longest : kNever
    };
    Tunnel tunnel(proxy_.shared().metrics, proxy_.shard(), service_->name(), listener_);
    proxy_.follow(tunnel);
    TunnelSide caller = caller_.tunnel();
    TunnelSide endpoint = upstream_->tunnel();
    const io::RelayEnd end = co_await tunnel.run(std::move(caller), std::move(endpoint), bounds);
    if (end == io::RelayEnd::finished) {
        co_await caller_.finish_tunnel(piece_deadline());
        co_await upstream_->finish_tunnel(piece_deadline());
    }
    const auto& family = metrics::names::kUpgrades;
    const std::string_view how = outcome_of(end);
    proxy_.shared()
        .metrics.counter(family, {service_->name(), upgrade_, how}, proxy_.shard())
        .add();
    if (listener_.config.access_log) write_access(tunnel, how);
    co_return end;
}

void Exchange::write_access(const Tunnel& tunnel, std::string_view how) {
    const Duration took = now() - answered_at_;
    proxy_.log_access(how != "finished", took, [&](AccessLog::Worker& log, double share) {
        const std::array<core::LogField, 10> fields = {{
            {"listener", listener_.config.name},
            {"peer", buffers_.from->ip},
            {"service", service_->name()},
            {"endpoint", buffers_.endpoint},
            {"protocol", upgrade_},
            {"bytes_up", tunnel.up()},
            {"bytes_down", tunnel.down()},
            {"ms", std::chrono::duration<double, std::milli>(took).count()},
            {"outcome", how},
            {"sample", share},
        }};
        log.write(
            proxy_.loop().wall_now(),
            {.event = "upgraded", .fields = fields.data(), .field_count = fields.size()}
        );
    });
}

}  // namespace datapunk::mesh::proxy
