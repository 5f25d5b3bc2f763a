#include "http/server.h"

#include <fmt/format.h>

#include <ctime>

#include "core/counted.h"
#include "http/date.h"
#include "http/message_reader.h"
#include "io/tls_slot.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::http {

using wire::http1::Framing;
using wire::http1::RequestHead;

namespace {

// Connections over a client's limit that are told so at a time; more are only closed.
constexpr std::size_t kTurnedAwayMax = 64;
// A client that keeps sending after it was refused is not read for longer than this.
constexpr std::size_t kDrainBytesMax = 64 * 1024;

// What a connection that was cut needs to notice it.
constexpr Duration kCutTime = std::chrono::seconds(1);

bool has_no_body(int status) {
    return status < 200 || status == 204 || status == 304;
}

}  // namespace

// One body over the ordinary limit at a time, so that no crowd of them fills the memory.
struct Server::LargeBody {
    explicit LargeBody(Server& s) : server(s) { server.has_large_body_ = true; }

    LargeBody(const LargeBody&) = delete;
    LargeBody& operator=(const LargeBody&) = delete;

    ~LargeBody() { server.has_large_body_ = false; }

    Server& server;
};

// One client connection: requests in turn.
class Server::Connection : public core::ListNode {
  public:
    Connection(Server& server, io::StreamPtr stream)
        : server_(server),
          stream_(std::move(stream)),
          reader_(*stream_, {.head_bytes_max = server.config_.head_bytes_max}),
          response_ready_(stream_->loop()) {}

    io::Task<void> run();

    // A request that has just arrived is served yet.
    void close_if_idle() {
        if (idle_ && !stream_->maybe_readable()) stream_->close();
    }

    void reset() { stream_->reset(); }

    // Of somebody who is not let in: every request is refused.
    void turn_away() { is_welcome_ = false; }

  private:
    io::Task<bool> serve_one();
    io::Task<bool> collect_body(const RequestHead& head, Request& request);
    io::Task<bool> answer(Request request, bool head_only);
    io::Task<void> call_handler(Request request);
    io::Task<void> watch_peer();
    void release_head();
    io::Task<bool> send(Response response, bool head_only);
    bool append_head(std::string& head, const Response& response) const;
    io::Task<void> refuse(int status, std::string_view reason);
    io::Task<void> refuse_with(Response response);

    Instant now() const { return server_.network_.loop().now(); }

    Server& server_;
    io::StreamPtr stream_;
    MessageReader reader_;
    RequestHead head_;
    std::string target_;  // of a request whose head was released
    bool idle_ = true;
    bool is_welcome_ = true;
    bool keep_alive_ = true;
    bool peer_gone_ = false;
    std::optional<Response> response_;
    io::Event response_ready_;
};

io::Task<void> Server::Connection::run() {
    for (;;) {
        idle_ = true;
        if (!reader_.has_more()) {
            reader_.release();
            auto ready = co_await stream_->readable(now() + server_.config_.idle_timeout);
            if (!ready) break;
        }
        idle_ = false;
        const bool more = co_await serve_one();
        if (!more || server_.draining_) break;
    }
    stream_->close();
}

// Whether the connection can carry another request.
io::Task<bool> Server::Connection::serve_one() {
    const Instant head_deadline = now() + server_.config_.head_timeout;
    const HeadRead read = co_await reader_.read_request(head_, head_deadline);
    if (read == HeadRead::rejected) {
        co_await refuse(wire::http1::http_status(reader_.why()), to_string(reader_.why()));
        co_return false;
    }
    if (read == HeadRead::failed && reader_.error().code == Code::timeout) {
        co_await refuse(408, "the request head took too long");
        co_return false;
    }
    if (read != HeadRead::done) co_return false;
    if (!is_welcome_) {
        co_await refuse(403, "whom the certificate names is not let in");
        co_return false;
    }
    Request request{
        .method = std::string(head_.method_text),
        .target = std::string(head_.path.empty() ? head_.target : head_.path),
        .host = std::string(head_.host),
        .peer = stream_->peer()
    };
    request.headers.reserve(head_.fields.size());
    for (const auto& field : head_.fields) {
        request.headers.push_back({std::string(field.name), std::string(field.value)});
    }
    keep_alive_ = head_.keep_alive;
    const bool whole = co_await collect_body(head_, request);
    if (!whole) co_return false;
    const bool head_only = head_.method == wire::http1::Method::head;
    const bool sent = co_await answer(std::move(request), head_only);
    co_return sent&& keep_alive_;
}

io::Task<bool> Server::Connection::collect_body(const RequestHead& head, Request& request) {
    if (reader_.body_done()) co_return true;
    const std::size_t own = server_.handler_.body_bytes_max(request.target);
    const std::size_t bytes_max = own > 0 ? own : server_.config_.body_bytes_max;
    if (head.framing == Framing::length && head.content_length > bytes_max) {
        co_await refuse(413, "the body is over the limit");
        co_return false;
    }
    if (auto refused = server_.handler_.refuse_unread(request)) {
        co_await refuse_with(*std::move(refused));
        co_return false;
    }
    const Instant deadline = now() + server_.config_.body_timeout;
    std::optional<LargeBody> large;
    if (head.expects_continue) {
        const io::Slices go_on(std::string_view("HTTP/1.1 100 Continue\r\n\r\n"));
        auto written = co_await stream_->write(go_on, deadline);
        if (!written) co_return false;
    }
    while (!reader_.body_done()) {
        auto piece = co_await reader_.next_piece(deadline);
        if (!piece) {
            if (piece.error().code == Code::invalid) co_await refuse(400, to_string(reader_.why()));
            if (piece.error().code == Code::timeout)
                co_await refuse(408, "the request body took too long");
            co_return false;
        }
        if (request.body.size() + piece->bytes.size() > bytes_max) {
            co_await refuse(413, "the body is over the limit");
            co_return false;
        }
        if (!large && request.body.size() + piece->bytes.size() > server_.config_.body_bytes_max) {
            if (server_.has_large_body_) {
                co_await refuse(503, "another large body is being received");
                co_return false;
            }
            large.emplace(server_);
        }
        request.body += piece->bytes;
    }
    co_return true;
}

io::Task<void> Server::Connection::call_handler(Request request) {
    response_ = co_await server_.handler_.handle(std::move(request));
    response_ready_.set();
}

// Notices a client that leaves while its answer is awaited. Bytes that come instead are the next
// request: they stay buffered, and watching ends.
io::Task<void> Server::Connection::watch_peer() {
    auto ready = co_await stream_->readable(kNever);
    if (ready) {
        auto got = co_await reader_.input().fill(kBlockBytes, kNever);
        if (got && *got > 0) co_return;
    }
    peer_gone_ = true;
    response_ready_.set();
}

// Ten thousand blocked queries must not hold a block each for a head that was read long ago.
void Server::Connection::release_head() {
    target_ = head_.target;
    reader_.release();  // every view into the head is dead
    head_.fields.clear();
    head_.path = head_.host = head_.method_text = {};
    head_.target = target_;
}

io::Task<bool> Server::Connection::answer(Request request, bool head_only) {
    response_.reset();
    response_ready_.clear();
    reader_.forget_piece();
    {
        io::TaskGroup tasks;  // destroys the handler's task if the client goes away
        tasks.spawn(call_handler(std::move(request)));
        if (!response_ready_.is_set()) {
            if (!reader_.has_more()) {
                release_head();
                tasks.spawn(watch_peer());
            }
            co_await response_ready_.wait(kNever);
        }
    }
    if (peer_gone_ || !response_) co_return false;
    const bool sent = co_await send(std::move(*response_), head_only);
    co_return sent;
}

io::Task<bool> Server::Connection::send(Response response, bool head_only) {
    if (server_.draining_) keep_alive_ = false;
    std::string head;
    constexpr std::size_t kOursBytes = 160;  // status line, Date, Content-Length, Connection
    head.reserve(
        kOursBytes + (response.shared_fields == nullptr ? 256 : response.shared_fields->size())
    );
    if (!append_head(head, response)) {
        server_.log_.warn(
            "a handler's response cannot be sent", {{"target", head_.target}, {"answered", 500}}
        );
        response = text_response(500, "the response has a field that cannot be sent\n");
        head.clear();
        const bool fits = append_head(head, response);
        MESH_ASSERT(fits);
    }
    io::Slices slices(head);
    if (!head_only && !has_no_body(response.status)) slices.add(response.content());
    auto written = co_await stream_->write(slices, now() + server_.config_.write_timeout);
    co_return written.ok();
}

// False if the handler has put something in it that must not get out: a CR or LF in a field would
// end it and begin another (response splitting). Framing and Date are ours.
bool Server::Connection::append_head(std::string& head, const Response& response) const {
    if (response.status < 200 || response.status > 599) return false;
    wire::http1::append_status_line(head, response.status);
    if (response.shared_fields != nullptr) head += *response.shared_fields;
    for (const HeaderLine& line : response.headers) {
        if (is_of_the_server(line.name)) continue;
        if (!wire::http1::try_append_field(head, line.name, line.value)) return false;
    }
    wire::http1::append_field(head, "Date", http_date(server_.network_.loop().wall_now()));
    if (!has_no_body(response.status))
        wire::http1::append_field(head, "Content-Length", response.content().size());
    if (!keep_alive_) {
        wire::http1::append_field(head, "Connection", "close");
    } else if (head_.minor_version == 0) {
        wire::http1::append_field(head, "Connection", "keep-alive");
    }
    head += "\r\n";
    return true;
}

io::Task<void> Server::Connection::refuse(int status, std::string_view reason) {
    Response response = text_response(status, fmt::format("{}\n", reason));
    co_await refuse_with(std::move(response));
}

// The last answer on this connection; what the client still sends is not read.
io::Task<void> Server::Connection::refuse_with(Response response) {
    keep_alive_ = false;
    const bool sent = co_await send(std::move(response), false);
    if (!sent) co_return;
    // Closing with unread bytes would reset the connection and could destroy the answer.
    stream_->shutdown_write();
    const Instant deadline = now() + std::chrono::seconds(1);
    std::size_t drained = 0;
    while (drained < kDrainBytesMax) {
        reader_.input().consume(reader_.input().data().size());
        auto got = co_await reader_.input().fill(kBlockBytes, deadline);
        if (!got || *got == 0) co_return;
        drained += *got;
    }
}

Server::Server(io::Network& network, Handler& handler, ServerConfig config, core::Logger log)
    : network_(network),
      handler_(handler),
      config_(std::move(config)),
      log_(std::move(log)),
      idle_(network.loop()) {
    idle_.set();
}

Server::~Server() = default;

Result<> Server::listen(const io::SocketAddress& at) {
    auto listener = network_.listen(at, {});
    if (!listener) return std::move(listener).error();
    listener_ = *std::move(listener);
    local_ = listener_->local();
    tasks_.spawn(accept_loop());
    return Ok{};
}

io::SocketAddress Server::local() const {
    return local_;
}

std::size_t Server::connections() const noexcept {
    return open_count_;
}

io::Task<void> Server::accept_loop() {
    for (;;) {
        auto stream = co_await listener_->accept();
        if (!stream) co_return;
        ++accepted_;
        if (open_count_ >= config_.connections_max) {
            log_.warn(
                "connection refused: too many",
                {{"peer", (*stream)->peer().to_string()}, {"limit", config_.connections_max}}
            );
            continue;
        }
        if (has_too_many((*stream)->peer())) {
            // Who speaks TLS would not understand.
            if (config_.tls == nullptr && turned_away_ < kTurnedAwayMax)
                tasks_.spawn(turn_away(*std::move(stream)));
            continue;
        }
        if (config_.tls != nullptr && handshakes_ >= config_.handshakes_max) {
            complain((*stream)->peer(), "too many at a time");
            continue;
        }
        tasks_.spawn(serve(*std::move(stream)));
    }
}

bool Server::has_too_many(const io::SocketAddress& peer) const {
    if (config_.connections_per_client_max == 0) return false;
    const auto open = open_by_client_.find(peer.ip);
    return open != open_by_client_.end() && open->second >= config_.connections_per_client_max;
}

// Says why before it closes. Consul's words and head.
io::Task<void> Server::turn_away(io::StreamPtr stream) {
    struct Count {
        explicit Count(std::size_t& n) : count(n) { ++count; }

        ~Count() { --count; }

        std::size_t& count;
    };
    const Count count(turned_away_);
    const io::Slices answer(std::string_view(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
        "Your IP is issuing too many concurrent connections, please rate limit your calls\n"
    ));
    const Instant deadline = network_.loop().now() + std::chrono::seconds(1);
    auto written = co_await stream->write(answer, deadline);
    if (!written) co_return;
    // Closing with unread bytes would reset the connection and could destroy the answer.
    stream->shutdown_write();
    std::array<char, 4096> ignored{};
    for (std::size_t drained = 0; drained < kDrainBytesMax;) {
        auto ready = co_await stream->readable(deadline);
        if (!ready) co_return;
        const io::IoResult got = stream->read_some(ignored);
        if (got.state == io::IoResult::State::would_block) continue;
        if (got.bytes == 0) co_return;
        drained += got.bytes;
    }
}

io::Task<void> Server::serve(io::StreamPtr stream) {
    struct Open {
        Open(Server& s, io::StreamPtr st)
            : server(s), client(st->peer().ip), connection(s, std::move(st)) {
            server.open_.push_back(connection);
            ++server.open_count_;
            if (server.config_.connections_per_client_max > 0) ++server.open_by_client_[client];
            server.idle_.clear();
        }

        ~Open() {
            const auto mine = server.open_by_client_.find(client);
            if (mine != server.open_by_client_.end() && --mine->second == 0) {
                server.open_by_client_.erase(mine);
            }
            if (--server.open_count_ == 0) server.idle_.set();
        }

        Server& server;
        const std::array<std::uint8_t, 16> client;
        Connection connection;
    };
    io::TlsStream* secured = nullptr;
    if (config_.tls != nullptr) {
        auto tls = io::TlsStream::server(std::move(stream), config_.tls->get());
        secured = tls.get();
        stream = std::move(tls);
    }
    Open open(*this, std::move(stream));
    if (secured != nullptr) {
        const bool is_agreed = co_await shake_hands(*secured);
        if (!is_agreed) co_return;
        if (config_.admits && !config_.admits(secured->peer_identity())) {
            open.connection.turn_away();
        }
    }
    co_await open.connection.run();
}

io::Task<bool> Server::shake_hands(io::TlsStream& stream) {
    const core::Counted handshake(handshakes_);
    const Instant deadline = network_.loop().now() + config_.handshake_timeout;
    auto agreed = co_await stream.handshake(deadline);
    if (!agreed) complain(stream.peer(), agreed.error().what);
    co_return agreed.ok();
}

// Of a handshake that failed. Whoever scans ports must not fill the log.
void Server::complain(const io::SocketAddress& peer, std::string_view reason) {
    const Instant now = network_.loop().now();
    if (now < quiet_until_) return;
    quiet_until_ = now + std::chrono::seconds(1);
    log_.warn("a TLS handshake failed", {{"peer", peer.to_string()}, {"reason", reason}});
}

Result<std::shared_ptr<const io::TlsContext>> server_tls(io::TlsServerConfig config) {
    config.alpn = {"http/1.1"};
    return io::TlsContext::server(config);
}

io::Task<void> Server::drain(Instant deadline) {
    draining_ = true;
    if (listener_ != nullptr) listener_->close();
    open_.for_each([](Connection& connection) { connection.close_if_idle(); });
    const bool drained = co_await idle_.wait(deadline);
    if (drained) co_return;
    log_.warn("drain deadline passed: cutting connections", {{"connections", open_count_}});
    open_.for_each([](Connection& connection) { connection.reset(); });
    co_await idle_.wait(network_.loop().now() + kCutTime);
}

}  // namespace datapunk::mesh::http
