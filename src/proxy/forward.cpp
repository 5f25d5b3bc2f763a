// Bodies: the request's towards the endpoint, the answer's towards the caller. Each piece is
// written before the next is read, so that the slower side sets the pace.

#include <fmt/format.h>

#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::proxy {

using http::Piece;
using resilience::Outcome;
using wire::http1::Framing;

namespace {

// Bodies up to here are held back until they are whole, so that an attempt can be repeated
// (linkerd's replay buffer is as large).
constexpr std::size_t kReplayBytesMax = 64UL * 1024;
// The rest of a failed answer is read up to here to keep its connection; beyond, closing is
// cheaper.
constexpr std::size_t kDiscardBytesMax = 16UL * 1024;

void append_trailers(std::string& out, const http::MessageReader& reader) {
    out += wire::http1::kTrailersBegin;
    for (const auto& field : reader.trailers()) {
        wire::http1::append_field(out, field.name, field.value);
    }
    out += wire::http1::kHeadEnd;
}

}  // namespace

Instant Exchange::piece_deadline() const noexcept {
    return now() + listener_.config.body_timeout;
}

// Collects a small body, and what has arrived of a large one. False if it was refused (answered).
io::Task<bool> Exchange::take_request_body() {
    if (client_.body_done()) co_return true;
    const std::uint64_t bytes_max = listener_.config.body_bytes_max;
    if (bytes_max != 0 && request_.content_length > bytes_max) {
        co_await reply(
            413, ReplyReason::body_too_large, "the request body is over the listener's limit"
        );
        co_return false;
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
    while (!client_.body_done() && request_body_.size() < kReplayBytesMax) {
        auto piece = client_.buffered_piece();
        if (piece && !piece->has_value()) {
            if (!worth_waiting) break;
            auto waited = co_await client_.next_piece(piece_deadline());
            if (waited) {
                piece = std::optional<Piece>(*waited);
            } else {
                piece = std::move(waited).error();
            }
        }
        if (!piece) {
            client_gone_ = piece.error().code == Code::unavailable;
            const bool late = piece.error().code == Code::timeout;
            keep_alive_ = false;
            if (!client_gone_) {
                co_await reply(
                    late ? 408 : 400,
                    late ? ReplyReason::request_timeout : ReplyReason::malformed_request,
                    piece.error().what
                );
            }
            co_return false;
        }
        request_body_ += (*piece)->bytes;
    }
    body_is_whole_ = client_.body_done();
    co_return true;
}

// Runs beside the wait for the answer.
io::Task<void> Exchange::pump_request_body() {
    auto pumped = co_await pump_pieces();
    if (pumped) co_return;
    // Not the endpoint's fault if the caller's side failed; either way this attempt cannot go on,
    // and an unfinished body must not look finished.
    keep_alive_ = false;
    if (upstream_ != nullptr) upstream_->stream().reset();
}

io::Task<Result<>> Exchange::pump_pieces() {
    const bool chunked = request_.framing == Framing::chunked;
    const std::uint64_t bytes_max = listener_.config.body_bytes_max;
    std::uint64_t total = request_body_.size();
    std::string frame;
    while (!client_.body_done()) {
        auto piece = co_await client_.next_piece(piece_deadline());
        if (!piece) {
            body_pump_failed_ = true;
            co_return std::move(piece).error();
        }
        total += piece->bytes.size();
        if (bytes_max != 0 && total > bytes_max) {
            body_pump_failed_ = true;
            co_return Error{
                .code = Code::exhausted, .what = "the request body is over the listener's limit"
            };
        }
        frame.clear();
        io::Slices slices;
        std::string tail;
        if (chunked) {
            if (!piece->bytes.empty()) {
                wire::http1::append_chunk_head(frame, piece->bytes.size());
                tail += wire::http1::kChunkEnd;
            }
            if (piece->last) append_trailers(tail, client_);
        }
        slices.add(frame);
        slices.add(piece->bytes);
        slices.add(tail);
        auto written = co_await upstream_->stream().write(slices, piece_deadline());
        if (!written) co_return std::move(written).error();
    }
    co_return Ok{};
}

// Sends the answer whose head has been read. How the attempt is to be judged.
io::Task<Outcome> Exchange::forward_answer(const policy::Attempt& at) {
    const DownstreamFraming framing = downstream_framing(answer_, request_);
    if (framing == DownstreamFraming::until_close || proxy_.is_draining() || !body_is_whole_) {
        // An answer that came before the request was whole ends the connection (RFC 9112 9.3).
        if (!client_.body_done() || framing == DownstreamFraming::until_close ||
            proxy_.is_draining()) {
            keep_alive_ = false;
        }
    }
    out_.clear();
    append_downstream_head(out_, answer_, framing, keep_alive_, request_);
    status_ = answer_.status;
    auto sent = co_await send_answer_body(framing);
    const bool whole = sent.ok() && upstream_->reader().body_done();
    if (sent.ok()) {
        settle_upstream(at, whole);
        co_return answer_.status >= 500 ? Outcome::server_error : Outcome::success;
    }
    // Ending the connection normally would show the caller a finished answer.
    const bool their_fault = sent.error().source == Source::upstream && !client_gone_;
    keep_alive_ = false;
    outcome_ = their_fault ? "upstream_reset_mid_body" : "client_gone";
    client_.input().stream().reset();
    drop_upstream();
    client_gone_ = true;
    co_return their_fault ? Outcome::reset : Outcome::cancelled;
}

io::Task<Result<>> Exchange::send_answer_body(DownstreamFraming framing) {
    http::MessageReader& reader = upstream_->reader();
    io::Stream& to = client_.input().stream();
    const bool chunked = framing == DownstreamFraming::chunked;
    if (reader.body_done()) {
        const io::Slices slices(out_);
        auto written = co_await to.write(slices, piece_deadline());
        if (!written) client_gone_ = true;
        co_return std::move(written);
    }
    std::string tail;
    while (!reader.body_done()) {
        auto ready = reader.buffered_piece();
        if (!ready)
            co_return Error{
                .code = Code::invalid, .what = ready.error().what, .source = Source::upstream
            };
        Piece piece;
        if (ready->has_value()) {
            piece = **ready;
        } else {
            if (!out_.empty()) {  // do not keep the head back while the body is made
                const io::Slices head(out_);
                auto written = co_await to.write(head, piece_deadline());
                if (!written) {
                    client_gone_ = true;
                    co_return std::move(written);
                }
                out_.clear();
            }
            auto waited = co_await reader.next_piece(piece_deadline());
            if (!waited)
                co_return Error{
                    .code = waited.error().code,
                    .what = waited.error().what,
                    .source = Source::upstream
                };
            piece = *waited;
        }
        tail.clear();
        if (chunked) {
            if (!piece.bytes.empty()) {
                wire::http1::append_chunk_head(out_, piece.bytes.size());
                tail += wire::http1::kChunkEnd;
            }
            if (piece.last) append_trailers(tail, reader);
        }
        io::Slices slices;
        slices.add(out_);
        slices.add(piece.bytes);
        slices.add(tail);
        auto written = co_await to.write(slices, piece_deadline());
        if (!written) {
            client_gone_ = true;
            co_return std::move(written);
        }
        out_.clear();
    }
    co_return Ok{};
}

// Reads a short failed answer to its end, so that its connection can be used again.
io::Task<void> Exchange::discard_answer(const policy::Attempt& at) {
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
    settle_upstream(at, reader.body_done());
}

void Exchange::settle_upstream(const policy::Attempt& at, bool complete) {
    http::MessageReader& reader = upstream_->reader();
    const bool reusable = complete && answer_.keep_alive && reader.is_between_messages() &&
                          answer_.framing != Framing::until_close && client_.body_done() &&
                          pump_.empty();
    if (!reusable) {
        drop_upstream();
        return;
    }
    proxy_.pool().put_idle(at.address(), std::move(upstream_));
}

}  // namespace datapunk::mesh::proxy
