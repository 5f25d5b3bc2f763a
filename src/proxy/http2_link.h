#pragma once

// Http2Link: a connection to an endpoint that speaks HTTP/2 and carries many exchanges at a time.
// Http2Upstream: one of them.
//
//   fresh ──► in use ◄──► idle ──► over (lost, said goodbye, idle for too long)
//
// A link takes streams as long as the endpoint lets it (its SETTINGS, no GOAWAY). One that has been
// silent while somebody waits is asked for a sign of life (PING), and given up if none comes: then
// its exchanges fail at once and not at their deadlines. Streams share the link; the pool drops it
// when it is over. One loop's object.

#include <memory>
#include <optional>
#include <string>

#include "core/block_pool.h"
#include "core/intrusive_list.h"
#include "io/loop.h"
#include "io/network.h"
#include "io/task.h"
#include "proxy/http2_body.h"
#include "proxy/http2_tunnel.h"
#include "proxy/upstream.h"
#include "proxy/upstream_connection.h"
#include "wire/http2/session.h"

namespace datapunk::mesh::proxy {

class Http2Upstream;

struct Http2LinkConfig {
    std::size_t head_bytes_max = 60UL * 1024;
    Duration idle_timeout = std::chrono::seconds(50);
    // Silence while an exchange waits before the endpoint is asked whether it lives, and how long
    // it may take to say so.
    Duration ping_after = std::chrono::seconds(15);
    Duration ping_timeout = std::chrono::seconds(5);
    Duration write_timeout = std::chrono::seconds(30);
};

class Http2Link {
  public:
    // `is_secure`: the stream is one of TLS.
    Http2Link(
        io::StreamPtr stream, ConnectionSlot slot, const Http2LinkConfig& config, bool is_secure
    );
    Http2Link(const Http2Link&) = delete;
    Http2Link& operator=(const Http2Link&) = delete;

    // One that has not heard the endpoint's SETTINGS is for the exchange it was made for alone: who
    // begins more than they allow is refused.
    bool can_take() const noexcept {
        return !is_over_ && session_.has_settings() && session_.can_request(unsent_ + 1);
    }

    bool is_young() const noexcept { return !is_over_ && !session_.has_settings(); }

    // The SETTINGS have come, or never will.
    io::Event& settled() noexcept { return settled_; }

    bool is_over() const noexcept { return is_over_; }

    bool is_idle() const noexcept { return users_.empty(); }

    Instant idle_since() const noexcept { return idle_since_; }

    bool is_secure() const noexcept { return is_secure_; }

    bool belongs_to(const UpstreamUse& use) const noexcept { return slot_.belongs_to(use); }

    // Closes it.
    void close();

    // --- for Http2Upstream
    wire::http2::Session& session() noexcept { return session_; }

    io::Loop& loop() noexcept { return stream_->loop(); }

    void schedule_write() noexcept { wants_write_.set(); }

    io::Event& wants_write() noexcept { return wants_write_; }

    void join(Http2Upstream& user);
    // The user has begun its stream, or will not.
    void forget_unsent() noexcept { --unsent_; }

    void leave() noexcept;

  private:
    io::Task<void> read_loop();
    io::Task<void> write_loop();
    void digest();
    void end();

    ConnectionSlot slot_;
    io::StreamPtr stream_;
    Http2LinkConfig config_;
    bool is_secure_;
    wire::http2::Session session_;
    io::Event wants_write_;
    std::string writing_;
    Instant idle_since_;
    Instant busy_since_;
    Instant heard_at_;
    bool is_over_ = false;
    io::Event settled_;
    std::size_t unsent_ = 0;  // users that have not begun their stream
    core::IntrusiveList<Http2Upstream> users_;
    io::TaskGroup tasks_;  // last: destroyed first
};

class Http2Upstream final : public Upstream, public core::ListNode {
  public:
    explicit Http2Upstream(std::shared_ptr<Http2Link> link);
    ~Http2Upstream() override;

    // One comes and goes with each request.
    static void* operator new(std::size_t bytes) { return core::allocate_block(bytes); }

    static void operator delete(void* memory, std::size_t bytes) noexcept {
        core::free_block(memory, bytes);
    }

    io::Task<Result<>> send_request(UpstreamRequest request, Instant deadline) override;
    io::Task<Result<>> send_piece(http::Piece piece, Trailers trailers, Instant deadline) override;

    io::Task<http::HeadRead> read_answer(
        wire::http1::ResponseHead& head, wire::http1::Method asked, Instant deadline
    ) override;

    const Error& error() const noexcept override { return error_; }

    std::string_view rejected() const noexcept override { return to_string(why_); }

    bool is_silent() const noexcept override;
    bool was_refused() const noexcept override;

    bool is_leaving() const noexcept override { return link_->session().is_going(); }

    bool body_done() const noexcept override { return body_.is_done(); }

    Result<std::optional<http::Piece>> buffered_piece() override;
    io::Task<Result<http::Piece>> next_piece(Instant deadline) override;

    std::vector<wire::http1::Field> trailers() const override { return body_.trailers(); }

    TunnelSide tunnel() override { return {.stream = &*tunnel_, .early = {}}; }

    io::Task<void> finish_tunnel(Instant deadline) override;

    void close() override;

    void reset() override { close(); }

    bool is_reusable(const wire::http1::ResponseHead& /*answer*/) const noexcept override {
        return true;
    }

    // From the link.
    void on_news();

    void on_lost();

  private:
    bool is_gone() const noexcept {
        return is_closed_ || is_lost_ || (stream_ != nullptr && stream_->is_reset());
    }

    Error gone() const;
    void begin_stream(bool has_body);
    io::Task<void> learn_settings(Instant deadline);
    io::Task<Result<>> send(
        std::string_view bytes, bool last, bool with_trailers, Instant deadline
    );

    std::shared_ptr<Http2Link> link_;
    wire::http2::H2Stream* stream_ = nullptr;
    ExchangeBuffers* buffers_ = nullptr;
    io::Event news_;
    Http2Body body_;
    std::string protocol_;  // to be tunnelled; empty: this is a request
    std::optional<Http2Tunnel> tunnel_;
    wire::http2::HeadBlock interim_;
    wire::http1::Reject why_ = wire::http1::Reject::none;
    Error error_;
    bool is_unsent_ = true;
    bool is_refused_ = false;  // the link took no more streams
    bool is_closed_ = false;   // from here
    bool is_lost_ = false;
};

}  // namespace datapunk::mesh::proxy
