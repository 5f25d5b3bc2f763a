#include "proxy/upstream_connection.h"

#include "wire/http1/encode.h"

namespace datapunk::mesh::proxy {

ConnectionSlot::ConnectionSlot(UpstreamUse& use, std::uint64_t& open) noexcept {
    if (ConnectionQuota* const quota = use.quota; quota != nullptr) {
        if (quota->open.fetch_add(1, std::memory_order_relaxed) >=
            quota->max.load(std::memory_order_relaxed)) {
            quota->open.fetch_sub(1, std::memory_order_relaxed);
            return;
        }
    }
    use_ = &use;
    open_ = &open;
    ++*open_;
    use.open.add(1);
}

ConnectionSlot::~ConnectionSlot() {
    if (use_ == nullptr) return;
    --*open_;
    use_->open.add(-1);
    if (use_->quota != nullptr) use_->quota->open.fetch_sub(1, std::memory_order_relaxed);
}

io::Task<Result<>> UpstreamConnection::send_request(UpstreamRequest request, Instant deadline) {
    buffers_ = &request.buffers;
    chunked_ = request.head.framing == wire::http1::Framing::chunked;
    std::string& out = buffers_->out;
    std::string& tail = buffers_->tail;
    out.clear();
    tail.clear();
    append_upstream_head(out, request.head, request.how);
    if (chunked_) {
        if (!request.body.empty()) {
            wire::http1::append_chunk_head(out, request.body.size());
            tail += wire::http1::kChunkEnd;
        }
        if (request.whole) append_trailers(tail, request.trailers);
    }
    io::Slices slices(out);
    slices.add(request.body);
    slices.add(tail);
    auto written = co_await stream_->write(slices, deadline);
    co_return std::move(written);
}

io::Task<Result<>> UpstreamConnection::send_piece(
    http::Piece piece, Trailers trailers, Instant deadline
) {
    // The answer may flow the other way at the same time: buffers of their own.
    std::string& frame = buffers_->pump_frame;
    std::string& tail = buffers_->pump_tail;
    frame.clear();
    tail.clear();
    if (chunked_) {
        if (!piece.bytes.empty()) {
            wire::http1::append_chunk_head(frame, piece.bytes.size());
            tail += wire::http1::kChunkEnd;
        }
        if (piece.last) append_trailers(tail, trailers);
    }
    io::Slices slices(frame);
    slices.add(piece.bytes);
    slices.add(tail);
    auto written = co_await stream_->write(slices, deadline);
    co_return std::move(written);
}

}  // namespace datapunk::mesh::proxy
