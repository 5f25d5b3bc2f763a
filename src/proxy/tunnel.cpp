#include "proxy/tunnel.h"

#include <utility>

#include "metrics/names.h"

namespace datapunk::mesh::proxy {

Tunnel::Tunnel(
    metrics::MetricRegistry& registry,
    metrics::Shard shard,
    std::string_view service,
    const ListenerState& listener
)
    : bytes_up_(registry.counter(metrics::names::kUpgradedBytes, {service, "up"}, shard)),
      bytes_down_(registry.counter(metrics::names::kUpgradedBytes, {service, "down"}, shard)),
      open_(registry.gauge(metrics::names::kUpgradedOpen, {service}, shard)),
      listener_(listener) {
    open_.add(1);
}

Tunnel::~Tunnel() {
    open_.add(-1);
}

io::Task<io::RelayEnd> Tunnel::run(TunnelSide caller, TunnelSide endpoint, io::RelayConfig config) {
    io::Relay relay(*caller.stream, *endpoint.stream, config);
    relay.put_back(std::move(caller.early), std::move(endpoint.early));
    relay_ = &relay;
    if (is_cut_) relay.stop();
    const io::RelayEnd end = co_await relay.run();
    count_bytes();
    relay_ = nullptr;
    co_return end;
}

void Tunnel::count_bytes() {
    if (relay_ == nullptr) return;
    const std::uint64_t up = relay_->a_to_b();
    const std::uint64_t down = relay_->b_to_a();
    bytes_up_.add(up - std::exchange(up_, up));
    bytes_down_.add(down - std::exchange(down_, down));
}

void Tunnel::cut() {
    is_cut_ = true;
    if (relay_ != nullptr) relay_->stop();
}

}  // namespace datapunk::mesh::proxy
