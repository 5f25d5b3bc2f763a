#pragma once

// Upstream: the side of an exchange that is asked: the request goes to it, the answer comes from
// it; Exchange does not know in which protocol. UpstreamConnection is an HTTP/1.1 connection that
// carries one exchange at a time, Http2Upstream a stream of one that carries many.
//
//   send_request → send_piece*      and beside it      read_answer+ → (buffered_piece |
//   next_piece)*
//
// One loop's object; one writer and one reader at a time.

#include <datapunk/mesh/result.h>

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "http/message_reader.h"
#include "io/task.h"
#include "proxy/caller.h"
#include "proxy/exchange_buffers.h"
#include "proxy/heads.h"

namespace datapunk::mesh::proxy {

class UpstreamConnection;

// What is sent first.
struct UpstreamRequest {
    const wire::http1::RequestHead& head;
    UpstreamHead how;
    std::string_view body;  // what has been collected of it
    bool whole = true;      // that is all of it, and
    Trailers trailers;      // these follow
    ExchangeBuffers& buffers;
};

class Upstream {
  public:
    virtual ~Upstream() = default;

    // --- the request
    virtual io::Task<Result<>> send_request(UpstreamRequest request, Instant deadline) = 0;
    // Done when the piece is taken: its bytes may go.
    virtual io::Task<Result<>> send_piece(
        http::Piece piece, Trailers trailers, Instant deadline
    ) = 0;

    // --- the answer: interim heads, then a final one and its body
    virtual io::Task<http::HeadRead> read_answer(
        wire::http1::ResponseHead& head, wire::http1::Method asked, Instant deadline
    ) = 0;
    // Why there was no head: of HeadRead::failed, and of ::rejected.
    virtual const Error& error() const noexcept = 0;
    virtual std::string_view rejected() const noexcept = 0;
    // Nothing has come from the endpoint.
    virtual bool is_silent() const noexcept = 0;

    // It said that it has not begun (REFUSED_STREAM, GOAWAY): the request may go elsewhere.
    virtual bool was_refused() const noexcept { return false; }

    // It takes nothing new on this connection (GOAWAY).
    virtual bool is_leaving() const noexcept { return false; }

    virtual bool body_done() const noexcept = 0;
    virtual Result<std::optional<http::Piece>> buffered_piece() = 0;
    virtual io::Task<Result<http::Piece>> next_piece(Instant deadline) = 0;
    virtual std::vector<wire::http1::Field> trailers() const = 0;

    // After an answer that switched protocols. Lives as long as this.
    virtual TunnelSide tunnel() = 0;
    // After the last byte: until it may go.
    virtual io::Task<void> finish_tunnel(Instant deadline) = 0;

    // --- the end
    // Nobody waits for the answer any more: what is waited for here fails, later in the turn.
    virtual void close() = 0;
    // As close(), and the endpoint cannot take what it has got for a whole request.
    virtual void reset() = 0;
    // After a whole request and `answer`: the connection can carry another exchange.
    virtual bool is_reusable(const wire::http1::ResponseHead& answer) const noexcept = 0;

    // The HTTP/1.1 connection that this is, for the pool; or nullptr.
    virtual UpstreamConnection* connection() noexcept { return nullptr; }
};

using UpstreamPtr = std::unique_ptr<Upstream>;

}  // namespace datapunk::mesh::proxy
