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

MessageReader::MessageReader(
    io::Stream& stream, wire::http1::Limits limits, std::size_t block_bytes
)
    : input_(stream, block_bytes), limits_(limits), parser_(limits) {}

void MessageReader::start_body(const wire::http1::Head& head) {
    body_done_ = head.framing == Framing::none ||
                 (head.framing == Framing::length && head.content_length == 0);
    if (!body_done_) decoder_.reset(head.framing, head.content_length, limits_);
}

// The stream ended inside a head.
HeadRead MessageReader::broken() {
    error_ = {
        .code = Code::unavailable,
        .what = fmt::format("{} closed inside a message head", input_.stream().peer().to_string()),
        .source = Source::upstream,
        .retryable = true
    };
    return HeadRead::failed;
}

template <class Parse>
io::Task<HeadRead> MessageReader::read_head(
    Parse parse, const wire::http1::Head* head, Instant deadline
) {
    MESH_ASSERT(body_done_);
    forget_piece();
    input_.let_go();
    parser_.reset();
    const std::size_t bytes_max = limits_.head_bytes_max + kBlockBytes;
    for (;;) {
        if (!input_.empty()) {
            const ParseResult result = parse(input_.data());
            if (result.state == ParseResult::State::done) {
                input_.hold(result.head_bytes);  // the head's views stay good
                start_body(*head);
                co_return HeadRead::done;
            }
            if (result.state == ParseResult::State::bad) {
                why_ = result.why;
                co_return HeadRead::rejected;
            }
        }
        const Input::Filled filled = input_.fill_now(bytes_max);
        if (filled == Input::Filled::bytes) continue;
        if (filled == Input::Filled::nothing) {
            auto ready = co_await input_.stream().readable(deadline);
            if (ready) continue;
            error_ = std::move(ready).error();
            co_return HeadRead::failed;
        }
        auto got = co_await input_.fill(bytes_max, deadline);  // says what is wrong
        if (!got) {
            error_ = std::move(got).error();
            co_return HeadRead::failed;
        }
        if (*got == 0) co_return input_.empty() ? HeadRead::closed : broken();
    }
}

io::Task<HeadRead> MessageReader::read_request(wire::http1::RequestHead& head, Instant deadline) {
    const auto parse = [this, &head](std::string_view bytes) {
        return parser_.parse_request(bytes, head);
    };
    return read_head(parse, &head, deadline);
}

io::Task<HeadRead> MessageReader::read_response(
    wire::http1::ResponseHead& head, wire::http1::Method request_method, Instant deadline
) {
    const auto parse = [this, &head, request_method](std::string_view bytes) {
        return parser_.parse_response(bytes, request_method, head);
    };
    return read_head(parse, &head, deadline);
}

Result<std::optional<Piece>> MessageReader::buffered_piece() {
    MESH_ASSERT(!body_done_);
    forget_piece();
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
        const Input::Filled filled = input_.fill_now(kBodyBufferBytes);
        if (filled == Input::Filled::bytes) continue;
        if (filled == Input::Filled::nothing) {
            auto ready = co_await input_.stream().readable(deadline);
            if (!ready) co_return std::move(ready).error();
            continue;
        }
        auto got = co_await input_.fill(kBodyBufferBytes, deadline);  // says what is wrong
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
