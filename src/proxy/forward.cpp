// Bodies: the request's towards the endpoint, the answer's towards the caller. Each piece is
// written before the next is read, so that the slower side sets the pace.

#include <fmt/format.h>

#include "http/date.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::proxy {

using http::Piece;
using resilience::Outcome;
using wire::http1::Framing;
using wire::http1::Header;

namespace {

// Bodies up to here are held back until they are whole, so that an attempt can be repeated
// (linkerd's replay buffer is as large).
constexpr std::size_t kReplayBytesMax = 64UL * 1024;
// The rest of a failed answer is read up to here to keep its connection; beyond, closing is
// cheaper.
constexpr std::size_t kDiscardBytesMax = 16UL * 1024;

}  // namespace

Instant Exchange::piece_deadline() const noexcept {
    return now() + listener_.config.body_timeout;
}

void append_trailers(std::string& out, const http::MessageReader& reader) {
    out += wire::http1::kTrailersBegin;
    for (const auto& field : reader.trailers()) {
        wire::http1::append_field(out, field.name, field.value);
    }
    out += wire::http1::kHeadEnd;
}

// Collects a small body, and what has arrived of a large one. False if it was refused (answered).
io::Task<bool> Exchange::take_request_body() {
    if (client_.body_done()) co_return true;
    const std::uint64_t bytes_max = listener_.config.body_bytes_max;
    if (bytes_max != 0 && request_.content_length > bytes_max) {
        const Error over{.code = Code::exhausted};
        const bool whole = co_await refuse_body(over);
        co_return whole;
    }
    if (request_.expects_continue) {
        const io::Slices go_on(std::string_view("HTTP/1.1 100 Continue\r\n\r\n"));
        auto written = co_await client_.input().stream().write(go_on, piece_deadline());
        if (!written) {
            client_gone_ = true;
            co_return false;
        }
    }
    const bool worth_waiting =
        request_.framing == Framing::length && request_.content_length <= kReplayBytesMax;
    std::string& body = buffers_.request_body;
    while (!client_.body_done() && body.size() < kReplayBytesMax) {
        Result<std::optional<Piece>> piece = client_.buffered_piece();
        if (piece && !piece->has_value()) {
            if (!worth_waiting) break;
            auto waited = co_await client_.next_piece(std::min(piece_deadline(), deadline_));
            if (waited) {
                piece = std::optional<Piece>(*waited);
            } else {
                piece = std::move(waited).error();
            }
        }
        if (piece && bytes_max != 0 && body.size() + (*piece)->bytes.size() > bytes_max)
            piece = Error{.code = Code::exhausted};
        if (!piece) {
            const bool whole = co_await refuse_body(piece.error());
            co_return whole;
        }
        body += (*piece)->bytes;
    }
    body_is_whole_ = client_.body_done();
    co_return true;
}

namespace {

// Why a body from the caller cannot be read on; nothing if the caller has gone.
std::optional<ReplyReason> body_problem(const Error& error) {
    switch (error.code) {
        case Code::exhausted:
            return ReplyReason::body_too_large;
        case Code::timeout:
            return ReplyReason::request_timeout;
        case Code::invalid:
            return ReplyReason::malformed_request;
        default:
            return std::nullopt;
    }
}

}  // namespace

io::Task<bool> Exchange::refuse_body(const Error& error) {
    keep_alive_ = false;
    body_problem_ = body_problem(error);
    if (body_problem_) {
        const AttemptResult none;
        co_await answer_failure(none);
    } else {
        client_gone_ = true;
    }
    co_return false;
}

// Runs beside the wait for the answer.
io::Task<void> Exchange::pump_request_body() {
    auto pumped = co_await pump_pieces();
    if (pumped) watch_client();
}

// An error is one of the endpoint's side, whose answer may have come nevertheless. What goes wrong
// on the caller's side ends the attempt: an unfinished body must not look finished.
io::Task<Result<>> Exchange::pump_pieces() {
    const bool chunked = request_.framing == Framing::chunked;
    const std::uint64_t bytes_max = listener_.config.body_bytes_max;
    std::uint64_t total = buffers_.request_body.size();
    std::string& frame = buffers_.pump_frame;
    std::string& tail = buffers_.pump_tail;
    while (!client_.body_done()) {
        auto piece = co_await client_.next_piece(piece_deadline());
        if (piece) total += piece->bytes.size();
        if (piece && bytes_max != 0 && total > bytes_max) piece = Error{.code = Code::exhausted};
        if (!piece) {
            body_problem_ = body_problem(piece.error());
            client_gone_ = !body_problem_.has_value();
            upstream_->stream().reset();
            co_return std::move(piece).error();
        }
        frame.clear();
        tail.clear();
        if (chunked) {
            if (!piece->bytes.empty()) {
                wire::http1::append_chunk_head(frame, piece->bytes.size());
                tail += wire::http1::kChunkEnd;
            }
            if (piece->last) append_trailers(tail, client_);
        }
        io::Slices slices;
        slices.add(frame);
        slices.add(piece->bytes);
        slices.add(tail);
        auto written = co_await upstream_->stream().write(slices, piece_deadline());
        if (!written) co_return std::move(written).error();
    }
    co_return Ok{};
}

// Sends the answer whose head has been read. How the attempt is to be judged.
io::Task<Outcome> Exchange::forward_answer(const policy::HeldEndpoint& at) {
    const DownstreamFraming framing = downstream_framing(answer_, request_);
    // An answer that came before the request was whole ends the connection (RFC 9112 9.3).
    if (!client_.body_done() || framing == DownstreamFraming::until_close || proxy_.is_draining())
        keep_alive_ = false;
    const std::string_view date =
        answer_.has(Header::date) ? "" : http::http_date(proxy_.loop().wall_now());
    out_.clear();
    append_downstream_head(
        out_,
        answer_,
        {.framing = framing,
         .keep_alive = keep_alive_,
         .caller_is_http10 = request_.minor_version == 0,
         .date = date}
    );
    auto sent = co_await send_answer_body(framing);
    if (sent) {
        status_ = answer_.status;
        settle_upstream(at);
        co_return resilience::outcome_of_status(status_);
    }
    const bool their_fault =
        sent.error().source == Source::upstream && !client_gone_ && !body_problem_;
    drop_upstream();
    keep_alive_ = false;
    if (head_sent_ || client_gone_) {
        // Ending the connection normally would show the caller a finished answer.
        outcome_ = their_fault ? "upstream_reset_mid_body" : "client_gone";
        client_.input().stream().reset();
        client_gone_ = true;
    }
    co_return their_fault ? Outcome::reset : Outcome::cancelled;
}

// An error whose source is `upstream` is the endpoint's, else the caller's.
io::Task<Result<>> Exchange::send_answer_body(DownstreamFraming framing) {
    http::MessageReader& reader = upstream_->reader();
    if (reader.body_done()) {
        auto written = co_await write_answer("", "");
        co_return std::move(written);
    }
    std::string& tail = buffers_.tail;
    while (!reader.body_done()) {
        Result<std::optional<Piece>> ready = reader.buffered_piece();
        if (ready && !ready->has_value()) {
            // Do not keep the head back while the body is made.
            auto written = co_await write_answer("", "");
            if (!written) co_return std::move(written);
            auto waited = co_await reader.next_piece(piece_deadline());
            if (waited) {
                ready = std::optional<Piece>(*waited);
            } else {
                ready = std::move(waited).error();
            }
        }
        if (!ready)
            co_return Error{
                .code = ready.error().code, .what = ready.error().what, .source = Source::upstream
            };
        const Piece piece = **ready;
        tail.clear();
        if (framing == DownstreamFraming::chunked) {
            if (!piece.bytes.empty()) {
                wire::http1::append_chunk_head(out_, piece.bytes.size());
                tail += wire::http1::kChunkEnd;
            }
            if (piece.last) append_trailers(tail, reader);
        }
        auto written = co_await write_answer(piece.bytes, tail);
        if (!written) co_return std::move(written);
    }
    co_return Ok{};
}

// Writes out_ and what follows it.
io::Task<Result<>> Exchange::write_answer(std::string_view bytes, std::string_view tail) {
    io::Slices slices(out_);
    slices.add(bytes);
    slices.add(tail);
    if (slices.empty()) co_return Ok{};
    head_sent_ = true;
    auto written = co_await client_.input().stream().write(slices, piece_deadline());
    out_.clear();
    if (written) co_return Ok{};
    client_gone_ = true;
    co_return Error{
        .code = written.error().code, .what = written.error().what, .source = Source::downstream
    };
}

// Reads a short failed answer to its end, so that its connection can be used again.
io::Task<void> Exchange::discard_answer(const policy::HeldEndpoint& at) {
    http::MessageReader& reader = upstream_->reader();
    std::size_t read = 0;
    const bool short_enough =
        answer_.framing != Framing::until_close && answer_.content_length <= kDiscardBytesMax;
    if (!short_enough) co_return;
    const Instant deadline = std::min(deadline_, now() + std::chrono::milliseconds(100));
    while (!reader.body_done() && read < kDiscardBytesMax) {
        auto piece = co_await reader.next_piece(deadline);
        if (!piece) co_return;
        read += piece->bytes.size();
    }
    if (reader.body_done()) settle_upstream(at);
}

// After a complete answer: the connection can be used again if both sides are at the end of their
// messages.
void Exchange::settle_upstream(const policy::HeldEndpoint& at) {
    const bool reusable = answer_.keep_alive && !upstream_->reader().has_more() &&
                          answer_.framing != Framing::until_close && client_.body_done() &&
                          pump_.empty() && !client_gone_;
    if (!reusable) {
        drop_upstream();
        return;
    }
    proxy_.pool().put_idle(at.address(), std::move(upstream_));
}

}  // namespace datapunk::mesh::proxy
