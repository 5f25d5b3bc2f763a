#include "http/input.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "core/kept.h"

namespace datapunk::mesh::http {

namespace {

// A held head in a block leaves at least this much to read into, or what follows it moves.
constexpr std::size_t kRoomMin = kBlockBytes / 2;

struct FreeBytes {
    void operator()(char* bytes) const noexcept { ::operator delete(bytes); }
};

using FreeBlocks = core::Kept<std::unique_ptr<char, FreeBytes>>;

// A burst's memory goes back to the heap: at most 1 MiB and 512 KiB a thread stay.
constexpr std::size_t kFreeMax = 64;
constexpr std::size_t kFreeWideMax = 16;

// Trivially destroyed, so that blocks that are freed while the thread ends still find it.
thread_local constinit bool thread_is_over = false;

struct ThreadBlocks {
    FreeBlocks usual{kFreeMax};
    FreeBlocks wide{kFreeWideMax};

    ThreadBlocks() {
        usual.reserve();
        wide.reserve();
    }

    ~ThreadBlocks() { thread_is_over = true; }
};

thread_local ThreadBlocks thread_blocks;

FreeBlocks* free_blocks(std::size_t bytes) {
    if (thread_is_over) return nullptr;
    if (bytes == kBlockBytes) return &thread_blocks.usual;
    return bytes == kWideBlockBytes ? &thread_blocks.wide : nullptr;
}

}  // namespace

Block::Block(std::size_t bytes) : size_(std::max(bytes, kBlockBytes)) {
    FreeBlocks* const free = free_blocks(size_);
    bytes_ = free != nullptr && !free->empty() ? free->take().release()
                                               : static_cast<char*>(::operator new(size_));
}

void Block::reset() noexcept {
    if (bytes_ == nullptr) return;
    std::unique_ptr<char, FreeBytes> bytes(std::exchange(bytes_, nullptr));
    FreeBlocks* const free = free_blocks(std::exchange(size_, 0));
    if (free != nullptr && !free->full()) free->put(std::move(bytes));
}

void sweep_free_blocks() noexcept {
    thread_blocks.usual.sweep();
    thread_blocks.wide.sweep();
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
