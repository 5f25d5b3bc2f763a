#pragma once

// Server: answers whole requests through a Handler: the admin API, the registry's HTTP door,
// example services. HTTP/1.1 with keep-alive; every wait has a deadline; limits on connections,
// heads and bodies. A handler may take long (blocking queries): if its client goes away meanwhile,
// its task is destroyed. One loop's object.

#include <datapunk/mesh/result.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/log.h"
#include "http/message.h"
#include "io/network.h"
#include "io/task.h"

namespace datapunk::mesh::io {
class TlsContext;
struct TlsPeer;
struct TlsServerConfig;
class TlsSlot;
class TlsStream;
}  // namespace datapunk::mesh::io

namespace datapunk::mesh::http {

class Handler {
  public:
    virtual ~Handler() = default;
    // Never fails: what goes wrong is a response. Called for each request, possibly many at once.
    // A response with a field that cannot be sent (CR, LF, a bad name) or a status outside 200-599
    // becomes a 500; its Content-Length, Transfer-Encoding, Connection and Date are the server's.
    virtual io::Task<Response> handle(Request request) = 0;

    // How large the body of a request to this target may be; 0 = as ServerConfig says. Of bodies
    // over that, one is received at a time.
    virtual std::size_t body_bytes_max(std::string_view /*target*/) const { return 0; }

    // Asked before a body is received, with the request as far as it has come: an answer ends the
    // request and its connection, and the body is not read.
    virtual std::optional<Response> refuse_unread(const Request& /*head*/) { return std::nullopt; }
};

struct ServerConfig {
    std::size_t connections_max = 10'000;  // beyond: accepted and closed at once
    // Of one address; beyond: answered 429 and closed, as Consul does. 0 = no such limit.
    std::size_t connections_per_client_max = 0;
    std::size_t head_bytes_max = 60 * 1024;
    std::size_t body_bytes_max = 1024 * 1024;
    Duration idle_timeout = std::chrono::seconds(60);   // between requests
    Duration head_timeout = std::chrono::seconds(10);   // first to last byte of a head
    Duration body_timeout = std::chrono::seconds(30);   // a whole request body
    Duration write_timeout = std::chrono::seconds(30);  // a whole response
    // Given: every connection is TLS, with the context that is in it then (see server_tls()).
    std::shared_ptr<const io::TlsSlot> tls{};
    Duration handshake_timeout = std::chrono::seconds(10);
    std::size_t handshakes_max = 1'000;  // at a time; beyond: closed at once
    // Given: asked once a connection, after its handshake. False: its requests are answered 403.
    std::function<bool(const io::TlsPeer&)> admits{};
};

// A context for ServerConfig::tls: as configured, and HTTP/1.1 is what it speaks.
Result<std::shared_ptr<const io::TlsContext>> server_tls(io::TlsServerConfig config);

class Server {
  public:
    // `handler` must outlive the server.
    Server(io::Network& network, Handler& handler, ServerConfig config, core::Logger log);
    ~Server();

    Result<> listen(const io::SocketAddress& at);
    // Where it listens; the real port if 0 was asked for.
    io::SocketAddress local() const;

    // Stops accepting, lets requests in flight end, closes idle connections; at the deadline
    // whatever is left is cut.
    io::Task<void> drain(Instant deadline);

    std::size_t connections() const noexcept;  // open now
    std::uint64_t accepted() const noexcept { return accepted_; }

  private:
    class Connection;
    struct LargeBody;

    io::Task<void> accept_loop();
    io::Task<void> serve(io::StreamPtr stream);
    io::Task<void> turn_away(io::StreamPtr stream);
    io::Task<bool> shake_hands(io::TlsStream& stream);
    void complain(const io::SocketAddress& peer, std::string_view reason);
    bool has_too_many(const io::SocketAddress& peer) const;

    io::Network& network_;
    Handler& handler_;
    ServerConfig config_;
    core::Logger log_;
    std::unique_ptr<io::Listener> listener_;
    io::SocketAddress local_;
    io::Event idle_;  // set when the last connection ends
    bool draining_ = false;
    bool has_large_body_ = false;
    core::IntrusiveList<Connection> open_;
    std::size_t open_count_ = 0;
    std::map<std::array<std::uint8_t, 16>, std::size_t> open_by_client_;  // if that is limited
    std::size_t turned_away_ = 0;                                         // being told so now
    std::uint64_t accepted_ = 0;
    std::size_t handshakes_ = 0;  // under way
    Instant quiet_until_{};       // no word about failed handshakes before
    io::TaskGroup tasks_;         // last: destroyed first
};

}  // namespace datapunk::mesh::http
