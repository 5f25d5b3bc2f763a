#include "proxy/http2_caller.h"

#include <fmt/format.h>

#include "proxy/heads.h"
#include "proxy/http2_connection.h"
#include "wire/grpc/call.h"

namespace datapunk::mesh::proxy {

using http::Piece;
using wire::http2::H2Error;

Http2Caller::Http2Caller(
    Http2Connection& connection, wire::http2::H2Stream& stream, ExchangeBuffers& buffers
)
    : connection_(connection), stream_(stream), buffers_(buffers), news_(connection.loop()) {
    stream_.owner = this;
    if (stream_.ended_with_head()) body_.set_done();
}

Http2Caller::~Http2Caller() {
    // An answer that is not whole must not look so; a caller that is lost needs no reason.
    const H2Error why = is_whole_ && !is_cut_ ? H2Error::no_error : H2Error::internal_error;
    connection_.session().release(stream_, why);
    connection_.schedule_write();
}

Error Http2Caller::gone() const {
    return {
        .code = Code::unavailable,
        .what = is_lost_ ? "the caller's connection was lost"
                         : fmt::format("the caller reset the stream (code {})", stream_.error()),
        .source = Source::downstream
    };
}

void Http2Caller::on_news() {
    news_.set();
    if (tunnel_) tunnel_->on_news();
    if (is_gone() && gone_) std::exchange(gone_, {})();
}

void Http2Caller::on_lost() {
    is_lost_ = true;
    if (tunnel_) tunnel_->on_lost();
    on_news();
}

void Http2Caller::watch(Gone gone) {
    if (!gone_) gone_ = std::move(gone);
    if (is_gone()) on_news();
}

Result<std::optional<Piece>> Http2Caller::buffered_piece() {
    if (body_.acknowledge(connection_.session(), stream_)) connection_.schedule_write();
    if (is_gone()) return gone();
    return body_.next(stream_);
}

io::Task<Result<Piece>> Http2Caller::next_piece(Instant deadline) {
    constexpr std::string_view kTooSlow = "the request's body came too slowly";
    return wait_for_piece(*this, news_, deadline, kTooSlow, Source::downstream);
}

io::Task<Result<>> Http2Caller::ask_for_body(Instant /*deadline*/) {
    if (is_gone()) co_return gone();
    buffers_.fields.clear();
    buffers_.fields.add(":status", "100");
    connection_.session().interim(stream_, buffers_.fields);
    connection_.schedule_write();
    co_return Ok{};
}

io::Task<Result<>> Http2Caller::send_interim(
    const wire::http1::ResponseHead& interim, Instant /*deadline*/
) {
    if (is_gone()) co_return gone();
    fill_downstream_head(buffers_.fields, interim, "");
    connection_.session().interim(stream_, buffers_.fields);
    connection_.schedule_write();
    co_return Ok{};
}

bool Http2Caller::begin_answer(
    const wire::http1::ResponseHead& answer, std::string_view date, bool keep_alive
) {
    fill_downstream_head(buffers_.fields, answer, date);
    is_head_pending_ = true;
    return keep_alive;
}

io::Task<Result<>> Http2Caller::flush(Instant /*deadline*/) {
    if (is_gone()) co_return gone();
    if (std::exchange(is_head_pending_, false)) {
        connection_.session().respond(stream_, buffers_.fields, true);
        connection_.schedule_write();
    }
    co_return Ok{};
}

io::Task<Result<>> Http2Caller::send_piece(Piece piece, Trailers trailers, Instant deadline) {
    fill_trailers(buffers_.trailers, trailers);
    return send(piece.bytes, piece.last, !trailers.empty(), deadline);
}

io::Task<Result<>> Http2Caller::send(
    std::string_view bytes, bool last, bool with_trailers, Instant deadline
) {
    if (is_gone()) co_return gone();
    wire::http2::Session& session = connection_.session();
    connection_.schedule_write();
    if (std::exchange(is_head_pending_, false)) {
        const bool has_body = !last || !bytes.empty() || with_trailers;
        session.respond(stream_, buffers_.fields, has_body);
        if (!has_body) {
            is_whole_ = true;
            co_return Ok{};
        }
    }
    session.offer(stream_, bytes, last, with_trailers ? &buffers_.trailers : nullptr);
    session.pull();
    while (!stream_.is_taken()) {
        news_.clear();
        const bool in_time = co_await news_.wait(deadline);
        if (is_gone()) co_return gone();
        if (!in_time)
            co_return Error{
                .code = Code::timeout,
                .what = "the caller takes the answer too slowly",
                .source = Source::downstream
            };
    }
    is_whole_ = last;
    co_return Ok{};
}

// In HTTP/2 the stream is the connection that goes on: its answer is 200 (RFC 8441 4), and there is
// no proof of having understood the handshake to pass on.
io::Task<Result<>> Http2Caller::switch_protocols(
    const wire::http1::ResponseHead& answer, Instant /*deadline*/
) {
    if (is_gone()) co_return gone();
    gone_ = {};
    wire::http2::Session& session = connection_.session();
    fill_switched_head(buffers_.fields, answer);
    session.respond(stream_, buffers_.fields, true);
    connection_.schedule_write();
    tunnel_.emplace(session, stream_, connection_.loop(), connection_.wants_write());
    co_return Ok{};
}

io::Task<void> Http2Caller::finish_tunnel(Instant deadline) {
    while (!tunnel_->is_done()) {
        news_.clear();
        const bool in_time = co_await news_.wait(deadline);
        if (!in_time || is_gone()) co_return;
    }
    is_whole_ = true;
}

io::Task<Result<>> Http2Caller::reply(OwnAnswer answer, Instant deadline) {
    wire::http2::FieldList& fields = buffers_.fields;
    fields.clear();
    if (answer.to_grpc) {
        const auto code =
            static_cast<unsigned>(answer.grpc_status.value_or(wire::grpc::of_http(answer.status)));
        std::string& message = buffers_.scratch;
        message.clear();
        wire::grpc::append_message(message, answer.explanation);
        fields.add(":status", "200");
        fields.add("content-type", "application/grpc");
        fields.add("grpc-status", std::uint64_t{code});
        fields.add("grpc-message", message);
        fields.add("date", answer.date);
        fields.add("x-mesh-reason", to_string(answer.reason));
        for (const wire::http1::Field& field : answer.fields) {
            if (field.id != wire::http1::Header::content_type) fields.add(field.name, field.value);
        }
        if (answer.retry_after_seconds > 0) {
            const std::uint64_t ms = std::uint64_t{answer.retry_after_seconds} * 1000;
            fields.add("grpc-retry-pushback-ms", ms);  // gRFC A6
        }
        is_head_pending_ = true;
        auto sent = co_await send("", true, false, deadline);
        co_return std::move(sent);
    }
    const fmt::format_int status(answer.status);
    fields.add(":status", std::string_view(status.data(), status.size()));
    if (answer.has_body()) {
        if (answer.says_type()) fields.add("content-type", answer.content_type);
        fields.add("content-length", answer.explanation.size() + (answer.is_line ? 1 : 0));
    }
    fields.add("date", answer.date);
    fields.add("x-mesh-reason", to_string(answer.reason));
    if (answer.retry_after_seconds > 0) {
        fields.add("retry-after", std::uint64_t{answer.retry_after_seconds});
    }
    for (const wire::http1::Field& field : answer.fields) fields.add(field.name, field.value);
    std::string& out = buffers_.out;
    out.clear();
    if (!answer.head_only && answer.has_body()) {
        out += answer.explanation;
        if (answer.is_line) out += '\n';
    }
    is_head_pending_ = true;
    auto sent = co_await send(out, true, false, deadline);
    co_return std::move(sent);
}

}  // namespace datapunk::mesh::proxy
