#include "http/input.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace datapunk::mesh::http {

namespace {

constexpr std::size_t kFreeBlocksMax =
    64;  // 1 MiB a thread; a burst's memory goes back to the heap

struct FreeList {
    char* blocks[kFreeBlocksMax];
    std::size_t count = 0;
    std::size_t unused = 0;  // the fewest that lay here since the last sweep
    bool alive = true;

    ~FreeList() {
        alive = false;
        while (count > 0) ::operator delete(blocks[--count]);
    }
};

thread_local FreeList free_list;

}  // namespace

Block::Block(std::size_t bytes) : size_(std::max(bytes, kBlockBytes)) {
    if (size_ != kBlockBytes || free_list.count == 0) {
        bytes_ = static_cast<char*>(::operator new(size_));
        return;
    }
    bytes_ = free_list.blocks[--free_list.count];
    free_list.unused = std::min(free_list.unused, free_list.count);
}

void Block::reset() noexcept {
    if (bytes_ == nullptr) return;
    if (size_ == kBlockBytes && free_list.alive && free_list.count < kFreeBlocksMax) {
        free_list.blocks[free_list.count++] = bytes_;
    } else {
        ::operator delete(bytes_);
    }
    bytes_ = nullptr;
    size_ = 0;
}

void sweep_free_blocks() noexcept {
    for (std::size_t left = (free_list.unused + 1) / 2; left > 0; --left) {
        ::operator delete(free_list.blocks[--free_list.count]);
    }
    free_list.unused = free_list.count;
}

void Input::consume(std::size_t bytes) noexcept {
    MESH_ASSERT(bytes <= end_ - begin_);
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
}

Block Input::take(std::size_t bytes) {
    MESH_ASSERT(bytes <= end_ - begin_);
    const std::size_t rest = end_ - begin_ - bytes;
    Block fresh;
    if (rest > 0) {
        fresh = Block(rest);
        std::memcpy(fresh.data(), block_.data() + begin_ + bytes, rest);
    }
    std::swap(block_, fresh);
    begin_ = 0;
    end_ = rest;
    return fresh;
}

void Input::make_room(std::size_t bytes_max) {
    if (block_.size() == 0) block_ = Block(kBlockBytes);
    if (end_ < block_.size()) return;
    const std::size_t held = end_ - begin_;
    if (begin_ > 0) {
        std::memmove(block_.data(), block_.data() + begin_, held);
    } else {
        Block larger(std::min(block_.size() * 2, bytes_max));
        std::memcpy(larger.data(), block_.data(), held);
        block_ = std::move(larger);
    }
    begin_ = 0;
    end_ = held;
}

io::Task<Result<std::size_t>> Input::fill(std::size_t bytes_max, Instant deadline) {
    if (end_ - begin_ >= bytes_max) {
        co_return Error{
            .code = Code::exhausted,
            .what = fmt::format("over the limit of {} bytes", bytes_max),
            .source = Source::downstream
        };
    }
    make_room(bytes_max);
    const std::span<char> room(block_.data() + end_, block_.size() - end_);
    auto got = co_await stream_.read(room, deadline);
    if (got) end_ += *got;
    co_return std::move(got);
}

Input::Filled Input::fill_now(std::size_t bytes_max) {
    if (end_ - begin_ >= bytes_max) return Filled::full;
    make_room(bytes_max);
    const io::IoResult got = stream_.read_some({block_.data() + end_, block_.size() - end_});
    if (got.state == io::IoResult::State::would_block) {
        release();
        return Filled::nothing;
    }
    if (got.state == io::IoResult::State::failed || got.bytes == 0) return Filled::ended;
    end_ += got.bytes;
    return Filled::bytes;
}

}  // namespace datapunk::mesh::http
