#include "http/input.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

namespace datapunk::mesh::http {

namespace {

// A held head in a block leaves at least this much to read into, or what follows it moves.
constexpr std::size_t kRoomMin = kBlockBytes / 2;

struct FreeList {
    static constexpr std::size_t kBlocksMax = 64;

    std::size_t bytes;  // of each block
    std::size_t count_max;
    std::array<char*, kBlocksMax> blocks{};
    std::size_t count = 0;
    std::size_t unused = 0;  // the fewest that lay here since the last sweep
    bool alive = true;

    ~FreeList() {
        alive = false;
        while (count > 0) ::operator delete(blocks[--count]);
    }

    char* take() noexcept {
        char* const block = blocks[--count];
        unused = std::min(unused, count);
        return block;
    }

    // Half of what has not been needed since the last time goes.
    void sweep() noexcept {
        for (std::size_t left = (unused + 1) / 2; left > 0; --left) {
            ::operator delete(blocks[--count]);
        }
        unused = count;
    }
};

// At most 1 MiB and 512 KiB a thread; a burst's memory goes back to the heap.
thread_local FreeList free_blocks{.bytes = kBlockBytes, .count_max = FreeList::kBlocksMax};
thread_local FreeList free_wide_blocks{.bytes = kWideBlockBytes, .count_max = 16};

FreeList* list_of(std::size_t bytes) noexcept {
    if (bytes == kBlockBytes) return &free_blocks;
    return bytes == kWideBlockBytes ? &free_wide_blocks : nullptr;
}

}  // namespace

Block::Block(std::size_t bytes) : size_(std::max(bytes, kBlockBytes)) {
    FreeList* const list = list_of(size_);
    bytes_ = list != nullptr && list->count > 0 ? list->take()
                                                : static_cast<char*>(::operator new(size_));
}

void Block::reset() noexcept {
    if (bytes_ == nullptr) return;
    FreeList* const list = list_of(size_);
    if (list != nullptr && list->alive && list->count < list->count_max) {
        list->blocks[list->count++] = bytes_;
    } else {
        ::operator delete(bytes_);
    }
    bytes_ = nullptr;
    size_ = 0;
}

void sweep_free_blocks() noexcept {
    free_blocks.sweep();
    free_wide_blocks.sweep();
}

void Input::consume(std::size_t bytes) noexcept {
    MESH_ASSERT(bytes <= end_ - begin_);
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = floor_;
}

void Input::hold(std::size_t bytes) {
    MESH_ASSERT(bytes <= end_ - begin_ && floor_ == 0);
    begin_ += bytes;
    floor_ = begin_;
    if (block_.size() - floor_ < kRoomMin) replace_block(std::max(end_ - begin_, block_bytes_));
}

void Input::let_go() noexcept {
    held_.reset();
    floor_ = 0;
    if (empty()) begin_ = end_ = 0;
}

// By one that has data() at its beginning.
void Input::replace_block(std::size_t bytes) {
    const std::size_t rest = end_ - begin_;
    Block fresh;
    if (rest > 0) {
        fresh = Block(bytes);
        std::memcpy(fresh.data(), block_.data() + begin_, rest);
    }
    std::swap(block_, fresh);
    if (std::exchange(floor_, 0) > 0) held_ = std::move(fresh);
    begin_ = 0;
    end_ = rest;
}

void Input::make_room(std::size_t bytes_max) {
    if (block_.size() == 0) block_ = Block(block_bytes_);
    if (end_ < block_.size()) return;
    const std::size_t rest = end_ - begin_;
    if (begin_ == floor_) {
        replace_block(std::min(block_.size() * 2, bytes_max));
        return;
    }
    std::memmove(block_.data() + floor_, block_.data() + begin_, rest);
    begin_ = floor_;
    end_ = floor_ + rest;
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
