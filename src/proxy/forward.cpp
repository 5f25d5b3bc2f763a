// Bodies: the request's towards the endpoint, the answer's towards the caller. Each piece is
// written before the next is read, so that the slower side sets the pace.

#include <fmt/format.h>

#include "http/date.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "proxy/upstream_pool.h"

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
    return now() + request_pace_.timeout();
}

// Collects a small body, and what has arrived of a large one. False if it was refused (answered).
io::Task<bool> Exchange::take_request_body() {
    if (caller_.body_done()) co_return true;
    const std::uint64_t bytes_max = body_bytes_max_;
    if (bytes_max != 0 && request_.content_length > bytes_max) {
        const Error over{.code = Code::exhausted};
        const bool whole = co_await refuse_body(over);
        co_return whole;
    }
    if (request_.expects_continue) {
        auto written = co_await caller_.ask_for_body(piece_deadline());
        if (!written) {
            client_gone_ = true;
            co_return false;
        }
    }
    const bool worth_waiting =
        request_.framing == Framing::length && request_.content_length <= kReplayBytesMax;
    std::string& body = buffers_.request_body;
    while (!caller_.body_done() && body.size() < kReplayBytesMax) {
        Result<std::optional<Piece>> piece = caller_.buffered_piece();
        if (piece && !piece->has_value()) {
            if (!worth_waiting) break;
            const Instant before = now();
            const Instant until = std::min(request_pace_.deadline(before), deadline_);
            auto waited = co_await caller_.next_piece(until);
            if (waited) {
                request_pace_.note(now() - before, waited->bytes.size());
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
    body_is_whole_ = caller_.body_done();
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
        co_await answer_failure();
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
    const std::uint64_t bytes_max = body_bytes_max_;
    std::uint64_t total = buffers_.request_body.size();
    while (!caller_.body_done()) {
        const Instant before = now();
        auto piece = co_await caller_.next_piece(request_pace_.deadline(before));
        if (piece) request_pace_.note(now() - before, piece->bytes.size());
        if (piece) total += piece->bytes.size();
        if (piece && bytes_max != 0 && total > bytes_max) piece = Error{.code = Code::exhausted};
        if (!piece) {
            body_problem_ = body_problem(piece.error());
            client_gone_ = !body_problem_.has_value();
            upstream_->reset();
            co_return std::move(piece).error();
        }
        if (mirror_ != nullptr) copy_to_mirror(*piece);
        std::vector<wire::http1::Field> trailers;
        if (piece->last) trailers = caller_.trailers();
        auto written = co_await upstream_->send_piece(*piece, trailers, piece_deadline());
        if (!written) co_return std::move(written).error();
    }
    co_return Ok{};
}

// Sends the answer whose head has been read. How the attempt is to be judged.
io::Task<Outcome> Exchange::forward_answer(const policy::HeldEndpoint& at) {
    // An answer that came before the request was whole ends the connection (RFC 9112 9.3).
    if (!caller_.body_done() || proxy_.is_draining(listener_)) keep_alive_ = false;
    const std::string_view date =
        answer_.has(Header::date) ? "" : http::http_date(proxy_.loop().wall_now());
    if (extras_ != nullptr) edit_answer();
    keep_alive_ = caller_.begin_answer(answer_, date, keep_alive_);
    auto sent = co_await send_answer_body();
    if (sent) {
        status_ = answer_.status;
        settle_upstream(at);
        if (is_grpc_ && status_ == 200) {
            // An answer without a status is none (http-grpc-status-mapping.md).
            const auto status = grpc_status_.value_or(wire::grpc::GrpcStatus::unknown);
            co_return wire::grpc::is_failure(status) ? Outcome::server_error : Outcome::success;
        }
        co_return resilience::outcome_of_status(status_);
    }
    const bool their_fault =
        sent.error().source == Source::upstream && !client_gone_ && !body_problem_;
    drop_upstream();
    keep_alive_ = false;
    if (head_sent_ || client_gone_) {
        // Ending the connection normally would show the caller a finished answer.
        outcome_ = their_fault ? "upstream_reset_mid_body" : "client_gone";
        caller_.reset();
        client_gone_ = true;
    }
    co_return their_fault ? Outcome::reset : Outcome::cancelled;
}

// An error whose source is `upstream` is the endpoint's, else the caller's.
io::Task<Result<>> Exchange::send_answer_body() {
    if (is_grpc_) grpc_status_ = wire::grpc::status_of(answer_.fields);
    if (upstream_->body_done() && !peeked_) {
        head_sent_ = true;
        const Piece nothing{.bytes = {}, .last = true};
        const Trailers no_trailers;
        auto written = co_await caller_.send_piece(nothing, no_trailers, piece_deadline());
        co_return sent(std::move(written));
    }
    while (peeked_ || !upstream_->body_done()) {
        Result<std::optional<Piece>> ready = std::exchange(peeked_, std::nullopt);
        if (!ready->has_value()) ready = upstream_->buffered_piece();
        if (ready && !ready->has_value()) {
            // Do not keep the head back while the body is made.
            head_sent_ = true;
            auto flushed = co_await caller_.flush(piece_deadline());
            if (!flushed) co_return sent(std::move(flushed));
            auto waited = co_await upstream_->next_piece(piece_deadline());
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
        std::vector<wire::http1::Field> trailers;
        if (piece.last) trailers = upstream_->trailers();
        if (piece.last && is_grpc_ && !grpc_status_) grpc_status_ = wire::grpc::status_of(trailers);
        head_sent_ = true;
        const Instant before = now();
        auto written = co_await caller_.send_piece(piece, trailers, answer_pace_.deadline(before));
        if (!written) co_return sent(std::move(written));
        answer_pace_.note(now() - before, piece.bytes.size());
    }
    co_return Ok{};
}

// What a write towards the caller came to.
Result<> Exchange::sent(Result<> written) {
    if (written) return Ok{};
    client_gone_ = true;
    return Error{
        .code = written.error().code, .what = written.error().what, .source = Source::downstream
    };
}

// Reads a short failed answer to its end, so that its connection can be used again.
io::Task<void> Exchange::discard_answer(const policy::HeldEndpoint& at) {
    std::size_t read = 0;
    const bool short_enough =
        answer_.framing != Framing::until_close && answer_.content_length <= kDiscardBytesMax;
    if (!short_enough) co_return;
    const Instant deadline = std::min(deadline_, now() + std::chrono::milliseconds(100));
    while (!upstream_->body_done() && read < kDiscardBytesMax) {
        auto piece = co_await upstream_->next_piece(deadline);
        if (!piece) co_return;
        read += piece->bytes.size();
    }
    if (upstream_->body_done()) settle_upstream(at);
}

// After a complete answer: the connection can be used again if both sides are at the end of their
// messages.
void Exchange::settle_upstream(const policy::HeldEndpoint& at) {
    const bool reusable =
        upstream_->is_reusable(answer_) && caller_.body_done() && pump_.empty() && !client_gone_;
    if (!reusable) {
        drop_upstream();
        return;
    }
    proxy_.pool().put_idle(at.address(), std::move(upstream_));
}

}  // namespace datapunk::mesh::proxy
