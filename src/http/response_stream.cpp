#include "http/response_stream.h"

#include <fmt/format.h>

#include <utility>

namespace datapunk::mesh::http {

ResponseStream::ResponseStream(io::StreamPtr stream, std::size_t head_bytes_max)
    : stream_(std::move(stream)), reader_(*stream_, {.head_bytes_max = head_bytes_max}) {}

io::Task<Result<std::string>> ResponseStream::next(Instant deadline) {
    while (!reader_.body_done()) {
        auto piece = co_await reader_.next_piece(deadline);
        if (!piece) co_return std::move(piece).error();
        if (!piece->bytes.empty()) co_return std::string(piece->bytes);
    }
    co_return std::string();
}

io::Task<Result<std::string>> ResponseStream::rest(std::size_t bytes_max, Instant deadline) {
    std::string body;
    for (;;) {
        auto piece = co_await next(deadline);
        if (!piece || piece->empty()) {
            if (!piece) co_return std::move(piece).error();
            co_return body;
        }
        if (body.size() + piece->size() > bytes_max) {
            co_return Error{
                .code = Code::exhausted,
                .what = fmt::format(
                    "the answer of {} is over {} bytes", stream_->peer().to_string(), bytes_max
                ),
                .source = Source::upstream
            };
        }
        body += *piece;
    }
}

}  // namespace datapunk::mesh::http
