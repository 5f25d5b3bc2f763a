#pragma once

// Caller: the side of an exchange that asks. The request's body comes from it, the answer goes to
// it; Exchange does not know in which protocol. Http1Caller is a connection's current request,
// Http2Caller a stream.
//
//   (buffered_piece | next_piece)*      the request's body, at its caller's pace
//   send_interim* → begin_answer → (flush | send_piece)*      or: reply
//
// Only a body piece that was taken for the other side is acknowledged to its sender: a piece is
// held until the next one is asked for. One loop's object; one body reader and one writer at a
// time.

#include <datapunk/mesh/result.h>

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/function.h"
#include "http/message_reader.h"
#include "io/task.h"
#include "proxy/replies.h"
#include "proxy/tunnel.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

using Trailers = std::span<const wire::http1::Field>;

class Caller {
  public:
    using Gone = core::UniqueFunction<void()>;

    // --- the request's body
    virtual bool body_done() const noexcept = 0;
    // The next piece if it has arrived; not after the last. A body that its sender did not finish
    // is an error, never a last piece.
    virtual Result<std::optional<http::Piece>> buffered_piece() = 0;
    virtual io::Task<Result<http::Piece>> next_piece(Instant deadline) = 0;
    // After the last piece. Views, good until the exchange ends.
    virtual std::vector<wire::http1::Field> trailers() const = 0;
    // 100 Continue.
    virtual io::Task<Result<>> ask_for_body(Instant deadline) = 0;

    // --- whether anybody waits for the answer
    // `gone` is called at most once, from here or later. Not while a body piece is awaited.
    virtual void watch(Gone gone) = 0;
    virtual void unwatch() noexcept = 0;

    // --- the answer
    virtual io::Task<Result<>> send_interim(
        const wire::http1::ResponseHead& interim, Instant deadline
    ) = 0;
    // Nothing leaves before the first flush or piece. Whether the caller's connection can carry
    // another request afterwards, which `keep_alive` allows.
    virtual bool begin_answer(
        const wire::http1::ResponseHead& answer, std::string_view date, bool keep_alive
    ) = 0;
    virtual io::Task<Result<>> flush(Instant deadline) = 0;
    // Done when the piece is taken: its bytes may go. An answer without a body is one empty last
    // piece.
    virtual io::Task<Result<>> send_piece(
        http::Piece piece, Trailers trailers, Instant deadline
    ) = 0;
    // A whole answer of our own.
    virtual io::Task<Result<>> reply(OwnAnswer answer, Instant deadline) = 0;
    // --- an answer that switches protocols
    // 101, or what stands for it. From then on bytes flow through tunnel(), in both directions.
    virtual io::Task<Result<>> switch_protocols(
        const wire::http1::ResponseHead& answer, Instant deadline
    ) = 0;
    // Lives as long as this. `early` is what has been read of it already.
    virtual TunnelSide tunnel() = 0;
    // After the last byte: until it may go.
    virtual io::Task<void> finish_tunnel(Instant deadline) = 0;

    // Ends an answer that is not whole so that it cannot be taken for one.
    virtual void reset() = 0;

  protected:
    ~Caller() = default;
};

}  // namespace datapunk::mesh::proxy
