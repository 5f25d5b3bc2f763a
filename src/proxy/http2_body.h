#pragma once

// Http2Body: the body that arrives on a stream of HTTP/2, in pieces and with its trailers: the
// request's on a caller's stream, the answer's on an endpoint's. A piece is acknowledged to its
// sender (WINDOW_UPDATE) when the next one is asked for.

#include <datapunk/mesh/result.h>
#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message_reader.h"
#include "io/loop.h"
#include "io/task.h"
#include "wire/http2/session.h"

namespace datapunk::mesh::proxy {

class Http2Body {
  public:
    bool is_done() const noexcept { return is_done_; }

    // There is none.
    void set_done() noexcept { is_done_ = true; }

    const std::vector<wire::http1::Field>& trailers() const noexcept { return trailers_; }

    // The last piece is done with. Whether that is to be told.
    bool acknowledge(wire::http2::Session& session, wire::http2::H2Stream& stream) {
        if (held_bytes_ == 0) return false;
        session.consume(stream, std::exchange(held_bytes_, 0));
        return true;
    }

    // What has arrived; the piece before has been acknowledged.
    Result<std::optional<http::Piece>> next(wire::http2::H2Stream& stream) {
        if (!stream.has_data() && !stream.has_ended()) return std::optional<http::Piece>();
        const std::string_view bytes = stream.take_data();
        held_bytes_ = bytes.size();
        if (stream.has_ended()) {
            const auto why = stream.trailers().to_trailers(trailers_);
            if (why != wire::http1::Reject::none)
                return Error{
                    .code = Code::invalid,
                    .what = fmt::format("malformed trailers ({})", to_string(why)),
                    .source = Source::downstream
                };
            is_done_ = true;
        }
        return std::optional<http::Piece>(http::Piece{.bytes = bytes, .last = is_done_});
    }

  private:
    std::vector<wire::http1::Field> trailers_;
    std::size_t held_bytes_ = 0;
    bool is_done_ = false;
};

// Waits for a piece of what `side` has (its buffered_piece()), which `news` tells of. `too_slow`
// and `source` are the error's; a literal.
template <class Side>
io::Task<Result<http::Piece>> wait_for_piece(
    Side& side, io::Event& news, Instant deadline, std::string_view too_slow, Source source
) {
    for (;;) {
        news.clear();
        auto piece = side.buffered_piece();
        if (!piece) co_return std::move(piece).error();
        if (piece->has_value()) co_return **piece;
        const bool in_time = co_await news.wait(deadline);
        if (!in_time)
            co_return Error{.code = Code::timeout, .what = std::string(too_slow), .source = source};
    }
}

}  // namespace datapunk::mesh::proxy
