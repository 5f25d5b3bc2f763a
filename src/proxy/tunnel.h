#pragma once

// Tunnel: an exchange that has switched protocols (RFC 9110 7.8): what the caller sends goes to the
// endpoint as it is, and back, each direction until its sender ends it (io/relay.h). Counted while
// it moves; the drain deadline cuts it. One loop's object.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/intrusive_list.h"
#include "io/relay.h"
#include "metrics/metric_registry.h"

namespace datapunk::mesh::proxy {

struct ListenerState;

// One side of it.
struct TunnelSide {
    io::Stream* stream = nullptr;
    std::string early;  // read already, to be sent on first
};

class Tunnel : public core::ListNode {
  public:
    // `listener`: that its caller came by.
    Tunnel(
        metrics::MetricRegistry& registry,
        metrics::Shard shard,
        std::string_view service,
        const ListenerState& listener
    );
    Tunnel(const Tunnel&) = delete;
    Tunnel& operator=(const Tunnel&) = delete;
    ~Tunnel();

    // Until both sides have ended, or one has failed. What is left to do with them is the owner's.
    io::Task<io::RelayEnd> run(TunnelSide caller, TunnelSide endpoint, io::RelayConfig config);

    void cut_if_of(const ListenerState& listener) {
        if (&listener_ == &listener) cut();
    }

    // Counts what has been moved since the last time.
    void count_bytes();
    void cut();

    std::uint64_t up() const noexcept { return up_; }

    std::uint64_t down() const noexcept { return down_; }

  private:
    metrics::Counter bytes_up_;
    metrics::Counter bytes_down_;
    metrics::Gauge open_;
    io::Relay* relay_ = nullptr;
    const ListenerState& listener_;
    std::uint64_t up_ = 0;
    std::uint64_t down_ = 0;
    bool is_cut_ = false;
};

}  // namespace datapunk::mesh::proxy
