#pragma once

// TcpSession: one caller's connection to a listener of protocol tcp, and the endpoint's that bytes
// are relayed with. The endpoint is asked at once, before the caller has said anything, so that
// servers that speak first can; only a listener that routes by SNI waits for the caller's greeting.
//
//   allowed? -> (where it was meant to go, SNI ->) service -> pick, guard, connect, again elsewhere
//   -> PROXY header -> relay
//
// The policies are those of calls: the deadline bounds connecting, nothing has been sent so that
// any endpoint may be tried again, and the connection is in flight for as long as it lives. A
// session that comes to nothing is shown to its caller as a reset. One loop's object.

#include <string>

#include "core/intrusive_list.h"
#include "io/relay.h"
#include "policy/service_policies.h"
#include "proxy/connection_info.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

class TcpSession : public core::ListNode {
  public:
    TcpSession(Proxy& proxy, ListenerState& listener, io::StreamPtr caller, ConnectionInfo info);
    ~TcpSession();

    io::Task<void> run();

    // Instead of run(): where it was meant to go, after these bytes, which were read already.
    io::Task<void> run_on(std::string early);

    bool is_of(const ListenerState& listener) const noexcept { return &listener_ == &listener; }

    // Counts what has been moved since the last time.
    void count_bytes();
    // Ends it as a break-off.
    void cut();

  private:
    struct Dialled {
        io::StreamPtr stream;
        ConnectionSlot slot;
    };

    io::Task<void> route_and_serve();
    io::Task<Result<std::string>> read_server_name();
    void count_for(std::string_view service);
    io::Task<void> pass_on();
    io::Task<void> serve();
    io::Task<Result<Dialled>> dial(const policy::HeldEndpoint& at, Instant deadline);
    io::Task<Result<>> send_proxy_header(io::Stream& to, Instant deadline);
    io::Task<void> relay(io::StreamPtr endpoint);
    void finish();

    Proxy& proxy_;
    ListenerState& listener_;
    io::StreamPtr caller_;
    ConnectionInfo info_;
    Instant started_;
    std::string read_;  // of the caller, before the relay began
    policy::ServicePolicies* service_ = nullptr;
    UpstreamState* upstream_ = nullptr;
    metrics::Counter bytes_up_;
    metrics::Counter bytes_down_;
    std::string endpoint_;
    std::string_view outcome_ = "cut";
    std::string why_;
    io::Relay* relay_ = nullptr;
    std::uint64_t counted_up_ = 0;
    std::uint64_t counted_down_ = 0;
    std::uint64_t up_ = 0;
    std::uint64_t down_ = 0;
    bool is_cut_ = false;
};

}  // namespace datapunk::mesh::proxy
