#pragma once

// UpstreamConnection: an HTTP/1.1 connection to an endpoint, with what has been read from it. Must
// go before its pool. ConnectionSlot: its place in what the service may have.

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "io/network.h"
#include "metrics/handles.h"
#include "proxy/loop_guard.h"
#include "proxy/upstream.h"
#include "proxy/upstream_tls.h"

namespace datapunk::mesh::proxy {

// The connections of one service, over all workers. Thread-safe.
struct ConnectionQuota {
    std::atomic<std::uint32_t> open{0};
    std::atomic<std::uint32_t> max{1024};
};

// Where one worker counts one service's connections. Outlives them.
struct UpstreamUse {
    ConnectionQuota* quota = nullptr;     // null: unlimited
    std::unique_ptr<UpstreamTlsUse> tls;  // null: plain text is spoken
    metrics::Gauge open;
    metrics::Counter created;
    metrics::Counter failed;
    metrics::Counter tls_failed;
};

// The right to one connection; given back when it ends. Made from nothing, it is none.
class ConnectionSlot {
  public:
    ConnectionSlot() = default;
    // Whether there was room is said by operator bool.
    ConnectionSlot(UpstreamUse& use, std::uint64_t& open) noexcept;

    ConnectionSlot(ConnectionSlot&& other) noexcept
        : token_(std::move(other.token_)),
          use_(std::exchange(other.use_, nullptr)),
          open_(other.open_) {}

    ConnectionSlot& operator=(ConnectionSlot&& other) noexcept {
        token_ = std::move(other.token_);
        std::swap(use_, other.use_);
        std::swap(open_, other.open_);
        return *this;
    }

    ~ConnectionSlot();

    explicit operator bool() const noexcept { return use_ != nullptr; }

    bool belongs_to(const UpstreamUse& use) const noexcept { return use_ == &use; }

    // Of the connection; kept as long as this.
    void keep(LoopGuard::Token token) noexcept { token_ = std::move(token); }

  private:
    LoopGuard::Token token_;
    UpstreamUse* use_ = nullptr;
    std::uint64_t* open_ = nullptr;
};

class UpstreamConnection final : public Upstream {
  public:
    // `tls_context` is the id of the one that it speaks TLS with; 0: it speaks plain text.
    UpstreamConnection(
        io::StreamPtr stream,
        ConnectionSlot slot,
        std::size_t head_bytes_max,
        std::uint64_t tls_context
    )
        : slot_(std::move(slot)),
          stream_(std::move(stream)),
          tls_context_(tls_context),
          reader_(*stream_, {.head_bytes_max = head_bytes_max}, http::kWideBlockBytes) {}

    io::Task<Result<>> send_request(UpstreamRequest request, Instant deadline) override;
    io::Task<Result<>> send_piece(http::Piece piece, Trailers trailers, Instant deadline) override;

    io::Task<http::HeadRead> read_answer(
        wire::http1::ResponseHead& head, wire::http1::Method asked, Instant deadline
    ) override {
        return reader_.read_response(head, asked, deadline);
    }

    const Error& error() const noexcept override { return reader_.error(); }

    std::string_view rejected() const noexcept override { return to_string(reader_.why()); }

    bool is_silent() const noexcept override { return reader_.input().empty(); }

    bool body_done() const noexcept override { return reader_.body_done(); }

    Result<std::optional<http::Piece>> buffered_piece() override {
        return reader_.buffered_piece();
    }

    io::Task<Result<http::Piece>> next_piece(Instant deadline) override {
        return reader_.next_piece(deadline);
    }

    std::vector<wire::http1::Field> trailers() const override { return reader_.trailers(); }

    TunnelSide tunnel() override { return {.stream = stream_.get(), .early = reader_.take_rest()}; }

    io::Task<void> finish_tunnel(Instant /*deadline*/) override { co_return; }

    void close() override { stream_->close(); }

    void reset() override { stream_->reset(); }

    bool is_reusable(const wire::http1::ResponseHead& answer) const noexcept override {
        return answer.keep_alive && !reader_.has_more() &&
               answer.framing != wire::http1::Framing::until_close;
    }

    UpstreamConnection* connection() noexcept override { return this; }

  private:
    friend class UpstreamPool;

    ConnectionSlot slot_;
    io::StreamPtr stream_;
    std::uint64_t tls_context_;
    http::MessageReader reader_;
    ExchangeBuffers* buffers_ = nullptr;  // of the exchange that it carries
    bool chunked_ = false;                // the request's body
    Instant idle_since_;
};

}  // namespace datapunk::mesh::proxy
