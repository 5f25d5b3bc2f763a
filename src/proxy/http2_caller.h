#pragma once

// Http2Caller: the Caller that is a stream of an HTTP/2 connection. Lives as long as the exchange;
// when it goes, so does the stream: it ends if the answer was whole, else it is reset.
//
// A piece of the request is acknowledged to the sender (WINDOW_UPDATE) when the next one is asked
// for; a piece of the answer is done when it stands in the connection's output, which takes 64 KiB
// and what the caller's windows allow.

#include <optional>

#include "core/intrusive_list.h"
#include "io/loop.h"
#include "proxy/caller.h"
#include "proxy/exchange_buffers.h"
#include "proxy/http2_body.h"
#include "proxy/http2_tunnel.h"
#include "wire/http2/session.h"

namespace datapunk::mesh::proxy {

class Http2Connection;

class Http2Caller final : public Caller, public core::ListNode {
  public:
    Http2Caller(
        Http2Connection& connection, wire::http2::H2Stream& stream, ExchangeBuffers& buffers
    );
    Http2Caller(const Http2Caller&) = delete;
    Http2Caller& operator=(const Http2Caller&) = delete;
    ~Http2Caller();

    // An extended CONNECT has none: what follows its head is of another protocol.
    bool body_done() const noexcept override {
        return body_.is_done() || buffers_.request.has_upgrade;
    }

    Result<std::optional<http::Piece>> buffered_piece() override;
    io::Task<Result<http::Piece>> next_piece(Instant deadline) override;

    std::vector<wire::http1::Field> trailers() const override { return body_.trailers(); }

    io::Task<Result<>> ask_for_body(Instant deadline) override;

    void watch(Gone gone) override;

    // A stream can be watched and read at the same time.
    void unwatch() noexcept override {}

    io::Task<Result<>> send_interim(const wire::http1::ResponseHead& interim, Instant deadline)
        override;
    bool begin_answer(
        const wire::http1::ResponseHead& answer, std::string_view date, bool keep_alive
    ) override;
    io::Task<Result<>> flush(Instant deadline) override;
    io::Task<Result<>> send_piece(http::Piece piece, Trailers trailers, Instant deadline) override;
    io::Task<Result<>> reply(OwnAnswer answer, Instant deadline) override;

    io::Task<Result<>> switch_protocols(const wire::http1::ResponseHead& answer, Instant deadline)
        override;

    TunnelSide tunnel() override { return {.stream = &*tunnel_, .early = {}}; }

    io::Task<void> finish_tunnel(Instant deadline) override;

    void reset() override { is_cut_ = true; }

    // From the connection: the stream has news; the connection is lost.
    void on_news();
    void on_lost();

  private:
    bool is_gone() const noexcept { return is_lost_ || stream_.is_reset(); }

    Error gone() const;
    io::Task<Result<>> send(
        std::string_view bytes, bool last, bool with_trailers, Instant deadline
    );

    Http2Connection& connection_;
    wire::http2::H2Stream& stream_;
    ExchangeBuffers& buffers_;
    io::Event news_;
    Gone gone_;
    Http2Body body_;
    std::optional<Http2Tunnel> tunnel_;
    bool is_head_pending_ = false;  // begun and not yet submitted: buffers_.fields
    bool is_whole_ = false;         // the answer
    bool is_cut_ = false;
    bool is_lost_ = false;
};

}  // namespace datapunk::mesh::proxy
