#include "proxy/http1_caller.h"

#include "proxy/websocket.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::proxy {

namespace {

// Up to here copying behind the head is cheaper than a gathering system call (send against
// sendmsg).
constexpr std::size_t kCopiedBytesMax = 1024;

}  // namespace

io::Task<Result<>> Http1Caller::ask_for_body(Instant deadline) {
    const io::Slices go_on(std::string_view("HTTP/1.1 100 Continue\r\n\r\n"));
    auto written = co_await stream().write(go_on, deadline);
    co_return std::move(written);
}

void Http1Caller::watch(Gone gone) {
    if (watch_) return;
    reader_.forget_piece();
    watch_.emplace(reader_.input(), std::move(gone));
}

io::Task<Result<>> Http1Caller::send_interim(
    const wire::http1::ResponseHead& interim, Instant deadline
) {
    if (request_.minor_version == 0) co_return Ok{};  // HTTP/1.0 has none
    std::string& out = buffers_.out;
    out.clear();
    append_downstream_head(out, interim, {.framing = DownstreamFraming::none, .keep_alive = true});
    const io::Slices slices(out);
    auto written = co_await stream().write(slices, deadline);
    out.clear();
    co_return std::move(written);
}

bool Http1Caller::begin_answer(
    const wire::http1::ResponseHead& answer, std::string_view date, bool keep_alive
) {
    framing_ = downstream_framing(answer, request_);
    keep_alive = keep_alive && framing_ != DownstreamFraming::until_close;
    buffers_.out.clear();
    append_downstream_head(
        buffers_.out,
        answer,
        {.framing = framing_,
         .keep_alive = keep_alive,
         .caller_is_http10 = request_.minor_version == 0,
         .date = date}
    );
    return keep_alive;
}

io::Task<Result<>> Http1Caller::flush(Instant deadline) {
    const io::Slices slices(buffers_.out);
    if (slices.empty()) co_return Ok{};
    auto written = co_await stream().write(slices, deadline);
    buffers_.out.clear();
    co_return std::move(written);
}

io::Task<Result<>> Http1Caller::send_piece(http::Piece piece, Trailers trailers, Instant deadline) {
    std::string& out = buffers_.out;
    std::string& tail = buffers_.tail;
    tail.clear();
    if (framing_ == DownstreamFraming::chunked) {
        if (!piece.bytes.empty()) {
            wire::http1::append_chunk_head(out, piece.bytes.size());
            tail += wire::http1::kChunkEnd;
        }
        if (piece.last) append_trailers(tail, trailers);
    }
    std::string_view after = tail;
    if (piece.bytes.size() + after.size() <= kCopiedBytesMax) {
        out += piece.bytes;
        out += after;
        piece.bytes = after = {};
    }
    io::Slices slices(out);
    slices.add(piece.bytes);
    slices.add(after);
    if (slices.empty()) co_return Ok{};
    auto written = co_await stream().write(slices, deadline);
    out.clear();
    co_return std::move(written);
}

io::Task<Result<>> Http1Caller::switch_protocols(
    const wire::http1::ResponseHead& answer, Instant deadline
) {
    std::string& out = buffers_.out;
    out.clear();
    // HTTP/2 has no such proof (RFC 8441 5): the tunnel that stands is it.
    std::string accept;
    const wire::http1::Field* const key = request_.find(kWebSocketKey);
    if (answer.major_version == 2 && key != nullptr) accept = websocket_accept(key->value);
    append_downstream_head(out, answer, {.upgrade = answer.upgrade, .websocket_accept = accept});
    const io::Slices slices(out);
    auto written = co_await stream().write(slices, deadline);
    out.clear();
    co_return std::move(written);
}

io::Task<Result<>> Http1Caller::reply(OwnAnswer answer, Instant deadline) {
    std::string& out = buffers_.out;
    out.clear();
    append_reply(out, answer);
    const io::Slices slices(out);
    auto written = co_await stream().write(slices, deadline);
    co_return std::move(written);
}

}  // namespace datapunk::mesh::proxy
