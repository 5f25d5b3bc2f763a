#include "http/message_reader.h"

#include <fmt/format.h>

namespace datapunk::mesh::http {

using wire::http1::BodyDecoder;
using wire::http1::Framing;
using wire::http1::ParseResult;
using wire::http1::Reject;

namespace {

// What a body needs in the buffer at once: a chunk line or the trailers, not the body.
constexpr std::size_t kBodyBufferBytes = kBlockBytes;

}  // namespace

MessageReader::MessageReader(io::Stream& stream, wire::http1::Limits limits)
    : input_(stream), limits_(limits), parser_(limits) {}

void MessageReader::start_body(const wire::http1::Head& head) {
    body_done_ = head.framing == Framing::none ||
                 (head.framing == Framing::length && head.content_length == 0);
    if (!body_done_) decoder_.reset(head.framing, head.content_length, limits_);
}

template <class Parse>
io::Task<HeadRead> MessageReader::read_head(Parse parse, Instant deadline) {
    MESH_ASSERT(body_done_);
    input_.consume(std::exchange(spent_, 0));
    parser_.reset();
    for (;;) {
        if (!input_.empty()) {
            const ParseResult result = parse(input_.data());
            if (result.state == ParseResult::State::done) {
                // Moving the block does not move the bytes: the head's views stay good.
                head_block_ = input_.take(result.head_bytes);
                co_return HeadRead::done;
            }
            if (result.state == ParseResult::State::bad) {
                why_ = result.why;
                co_return HeadRead::rejected;
            }
        }
        auto got = co_await input_.fill(limits_.head_bytes_max + kBlockBytes, deadline);
        if (!got) {
            error_ = std::move(got).error();
            co_return HeadRead::failed;
        }
        if (*got == 0) {
            if (input_.empty()) co_return HeadRead::closed;
            error_ = {
                .code = Code::unavailable,
                .what = fmt::format(
                    "{} closed inside a message head", input_.stream().peer().to_string()
                ),
                .source = Source::upstream,
                .retryable = true
            };
            co_return HeadRead::failed;
        }
    }
}

io::Task<HeadRead> MessageReader::read_request(wire::http1::RequestHead& head, Instant deadline) {
    const auto parse = [this, &head](std::string_view bytes) {
        return parser_.parse_request(bytes, head);
    };
    const HeadRead outcome = co_await read_head(parse, deadline);
    if (outcome == HeadRead::done) start_body(head);
    co_return outcome;
}

io::Task<HeadRead> MessageReader::read_response(
    wire::http1::ResponseHead& head, wire::http1::Method request_method, Instant deadline
) {
    const auto parse = [this, &head, request_method](std::string_view bytes) {
        return parser_.parse_response(bytes, request_method, head);
    };
    const HeadRead outcome = co_await read_head(parse, deadline);
    if (outcome == HeadRead::done) start_body(head);
    co_return outcome;
}

Result<std::optional<Piece>> MessageReader::buffered_piece() {
    MESH_ASSERT(!body_done_);
    input_.consume(std::exchange(spent_, 0));
    while (!input_.empty()) {
        const BodyDecoder::Step step = decoder_.decode(input_.data());
        if (step.state == BodyDecoder::State::bad) {
            why_ = step.why;
            return Error{
                .code = Code::invalid,
                .what = fmt::format("malformed body ({})", to_string(step.why)),
                .source = Source::downstream
            };
        }
        body_done_ = step.state == BodyDecoder::State::done;
        spent_ = step.consumed;
        if (!step.payload.empty() || body_done_) {
            return std::optional<Piece>(Piece{.bytes = step.payload, .last = body_done_});
        }
        if (step.consumed == 0) break;
        input_.consume(std::exchange(spent_, 0));
    }
    return std::optional<Piece>();
}

io::Task<Result<Piece>> MessageReader::next_piece(Instant deadline) {
    for (;;) {
        auto piece = buffered_piece();
        if (!piece) co_return std::move(piece).error();
        if (piece->has_value()) co_return **piece;
        auto got = co_await input_.fill(kBodyBufferBytes, deadline);
        if (!got) co_return std::move(got).error();
        if (*got == 0) {
            if (decoder_.eof().state == BodyDecoder::State::done) {
                body_done_ = true;
                co_return Piece{.bytes = {}, .last = true};
            }
            why_ = Reject::truncated_body;
            co_return Error{
                .code = Code::unavailable,
                .what = fmt::format(
                    "{} closed before the body was complete", input_.stream().peer().to_string()
                ),
                .source = Source::upstream,
                .retryable = true
            };
        }
    }
}

std::string MessageReader::take_rest() {
    forget_piece();
    std::string rest(input_.data());
    input_.consume(rest.size());
    input_.release();
    return rest;
}

}  // namespace datapunk::mesh::http
