#pragma once

// Http2Connection: a caller's connection that speaks HTTP/2. Each of its streams is an Exchange of
// its own, through the same layers as a request of HTTP/1.1.
//
//   reader: bytes → Session → streams with news → Http2Caller, or a new exchange
//   writer: Session → bytes, once per turn of the loop, whatever the exchanges have added
//
// What it holds is bounded by the Session's windows and limits; who abuses it is cut off, with the
// reason in mesh_bad_requests_total (docs/http.md). One loop's object.

#include "core/intrusive_list.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/task.h"
#include "proxy/connection_info.h"
#include "proxy/http2_caller.h"
#include "proxy/proxy.h"
#include "wire/http2/session.h"

namespace datapunk::mesh::proxy {

// What a client that knows beforehand sends first (RFC 9113 3.4).
inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class Http2Connection {
  public:
    Http2Connection(
        Proxy& proxy, ListenerState& listener, io::Stream& stream, const ConnectionInfo& from
    );

    // Until the connection is over and every exchange of it has ended. `first` has been read
    // already. Whether the peer may still be sending, so that closing now could destroy our last
    // words.
    io::Task<bool> run(std::string_view first);

    // Says goodbye; what is on its way is still served.
    void drain();

    // --- for Http2Caller
    wire::http2::Session& session() noexcept { return session_; }

    io::Loop& loop() noexcept { return proxy_.loop(); }

    void schedule_write() noexcept { wants_write_.set(); }

    io::Event& wants_write() noexcept { return wants_write_; }

  private:
    io::Task<void> read_loop(std::string_view first);
    io::Task<void> write_loop();
    io::Task<void> leave();
    io::Task<void> serve(wire::http2::H2Stream& stream);
    bool take(std::string_view bytes);
    void digest();
    Instant read_deadline() const noexcept;
    bool is_idle() const noexcept { return exchanges_.empty(); }

    Proxy& proxy_;
    ListenerState& listener_;
    io::Stream& stream_;
    const ConnectionInfo& from_;
    wire::http2::Session session_;
    io::Event wants_write_;
    io::Event end_seen_;
    io::Event quiet_;  // no exchange
    std::string writing_;
    std::uint64_t malformed_counted_ = 0;
    Instant idle_since_;
    Instant head_began_;
    bool was_midway_ = false;
    bool is_leaving_ = false;
    bool is_broken_ = false;      // nothing more can be written
    bool is_ended_here_ = false;  // nothing more is read
    core::IntrusiveList<Http2Caller> callers_;
    io::TaskGroup exchanges_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::proxy
