#include "proxy/http2_tunnel.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/assert.h"

namespace datapunk::mesh::proxy {

using io::IoResult;

namespace {

constexpr std::size_t kWriteBytesMax = 64UL * 1024;

}  // namespace

Http2Tunnel::~Http2Tunnel() {
    MESH_ASSERT(reader_ == nullptr && writer_ == nullptr);
}

int Http2Tunnel::failure() const noexcept {
    return is_closed_ ? ECANCELED : ECONNRESET;
}

void Http2Tunnel::on_news() {
    if (wants_end_ && !is_end_offered_) offer_end();
    if (reader_ != nullptr && maybe_readable()) reader_->retry();
    if (writer_ != nullptr && (is_gone() || stream_.is_taken())) writer_->retry();
}

IoResult Http2Tunnel::read_some(std::span<char> into) {
    if (is_gone()) return {.state = IoResult::State::failed, .error = failure()};
    if (arrived_.empty()) {
        if (!stream_.has_data()) {
            if (stream_.has_ended()) return {};
            return {.state = IoResult::State::would_block};
        }
        arrived_ = stream_.take_data();
        held_ = arrived_.size();
    }
    const std::size_t bytes = std::min(into.size(), arrived_.size());
    std::memcpy(into.data(), arrived_.data(), bytes);
    arrived_.remove_prefix(bytes);
    if (arrived_.empty()) {
        session_.consume(stream_, std::exchange(held_, 0));
        wants_write_.set();
    }
    return {.bytes = bytes};
}

IoResult Http2Tunnel::write_some(const iovec* pieces, std::size_t count) {
    if (is_gone()) return {.state = IoResult::State::failed, .error = failure()};
    if (wants_end_ || stream_.is_closed())
        return {.state = IoResult::State::failed, .error = EPIPE};
    if (!stream_.is_taken()) return {.state = IoResult::State::would_block};
    writing_.clear();
    for (std::size_t i = 0; i < count && writing_.size() < kWriteBytesMax; ++i) {
        const std::string_view piece(
            static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len
        );
        writing_ += piece.substr(0, kWriteBytesMax - writing_.size());
    }
    if (writing_.empty()) return {};
    session_.offer(stream_, writing_, false);
    session_.pull();
    wants_write_.set();
    return {.bytes = writing_.size()};
}

bool Http2Tunnel::maybe_readable() {
    return is_gone() || !arrived_.empty() || stream_.has_data() || stream_.has_ended();
}

void Http2Tunnel::set_reader(io::IoWaiter* waiter) {
    MESH_ASSERT(waiter == nullptr || reader_ == nullptr);
    reader_ = waiter;
}

void Http2Tunnel::set_writer(io::IoWaiter* waiter) {
    MESH_ASSERT(waiter == nullptr || writer_ == nullptr);
    writer_ = waiter;
}

void Http2Tunnel::shutdown_write() {
    wants_end_ = true;
    offer_end();
}

// Behind what is still being taken.
void Http2Tunnel::offer_end() {
    if (is_gone() || is_end_offered_ || !stream_.is_taken()) return;
    is_end_offered_ = true;
    session_.offer(stream_, {}, true);
    session_.pull();
    wants_write_.set();
}

void Http2Tunnel::close() {
    is_closed_ = true;
    if (reader_ != nullptr || writer_ != nullptr) loop_.make_ready(*this);
}

}  // namespace datapunk::mesh::proxy
