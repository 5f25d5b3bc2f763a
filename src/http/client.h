#pragma once

// Client: sends whole requests and collects whole answers: registry calls, probes. HTTP/1.1, over
// TLS if it is given a context, keeps a few idle connections per peer and checks them before reuse;
// a request that met a connection the peer had just closed is sent again on a fresh one, if no byte
// of an answer had come and the method is idempotent. One loop's object.

#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/message.h"
#include "io/network.h"
#include "io/task.h"
#include "io/tls.h"

namespace datapunk::mesh::http {

struct ClientConfig {
    std::size_t idle_per_peer_max = 8;
    Duration idle_timeout = std::chrono::seconds(15);
    Duration connect_timeout = std::chrono::seconds(2);  // TLS handshake included
    std::size_t head_bytes_max = 60 * 1024;
    std::size_t body_bytes_max = 64UL * 1024 * 1024;  // a registry answer of 100,000 endpoints
    bool keep_alive = true;
    // Not null: every connection is TLS with it. See client_tls().
    std::shared_ptr<const io::TlsContext> tls{};
    std::string tls_server_name{};  // what the certificate must be for; empty = the peer's host
};

// A context for ClientConfig::tls: as configured, and HTTP/1.1 is what it offers to speak.
Result<std::shared_ptr<const io::TlsContext>> client_tls(io::TlsClientConfig config);

class ResponseStream;

class Client {
  public:
    Client(io::Network& network, ClientConfig config);
    ~Client();

    // Any complete answer is a success, whatever its status. Errors: unavailable (not reached, cut
    // off), timeout, denied (its certificate does not convince), invalid (not HTTP), exhausted
    // (over a limit).
    io::Task<Result<Response>> fetch(
        std::string host, std::uint16_t port, Request request, Instant deadline
    );

    // The same for an answer that may never end (a watch): its head; the body is then read as it
    // comes. A connection of its own, never sent again.
    io::Task<Result<std::unique_ptr<ResponseStream>>> stream(
        std::string host, std::uint16_t port, Request request, Instant deadline
    );

  private:
    struct Exchange;
    struct Idle;

    io::Task<Result<io::StreamPtr>> connect(std::string host, std::uint16_t port, Instant deadline);
    io::Task<Result<Response>> exchange(
        io::Stream& stream, const Request& request, Instant deadline, bool& answered, bool& reusable
    );
    // Sends the request and reads the answer's head.
    io::Task<Result<Response>> begin(Exchange& exchange, const Request& request, Instant deadline);
    io::StreamPtr take_idle(const std::string& key);
    void put_idle(const std::string& key, io::StreamPtr stream);

    io::Network& network_;
    ClientConfig config_;
    std::map<std::string, std::vector<Idle>> idle_;
};

}  // namespace datapunk::mesh::http
