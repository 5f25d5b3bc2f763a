#pragma once

// Input: the bytes of a stream that have arrived and are not yet consumed, contiguous. Grows to
// what one message head may need and not beyond; who waits for the first byte of something holds no
// memory for it, so that all connections of a thread read into the same few blocks. One loop's
// object. Standard blocks come from a per-thread free list (~3 ns).
//
//   block:  | a head, held | consumed | data() | room to read into |

#include <cstddef>
#include <string_view>
#include <utility>

#include "io/stream.h"
#include "io/task.h"

namespace datapunk::mesh::http {

// 16 KiB holds nearly every head, and many bodies, in one read.
inline constexpr std::size_t kBlockBytes = 16UL * 1024;
// For what is mostly bodies: a page of 16 KiB comes with its head in one read.
inline constexpr std::size_t kWideBlockBytes = 32UL * 1024;

// Owned bytes; what is parsed out of them are views into them. Movable.
class Block {
  public:
    Block() = default;
    explicit Block(std::size_t bytes);

    Block(Block&& other) noexcept
        : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}

    Block& operator=(Block&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        std::swap(size_, other.size_);
        return *this;
    }

    ~Block() { reset(); }

    char* data() const noexcept { return bytes_; }

    std::size_t size() const noexcept { return size_; }

    void reset() noexcept;

  private:
    char* bytes_ = nullptr;
    std::size_t size_ = 0;
};

// Half of the free list's blocks that this thread has not needed since the last time go back to the
// heap. Call about once a second.
void sweep_free_blocks() noexcept;

class Input {
  public:
    explicit Input(io::Stream& stream, std::size_t block_bytes = kBlockBytes) noexcept
        : stream_(stream), block_bytes_(block_bytes) {}

    Input(const Input&) = delete;
    Input& operator=(const Input&) = delete;

    std::string_view data() const noexcept { return {block_.data() + begin_, end_ - begin_}; }

    bool empty() const noexcept { return begin_ == end_; }

    // The first `bytes` are done with.
    void consume(std::size_t bytes) noexcept;

    // Reads once and appends; data() may move. 0 = end of stream. Code::exhausted if `bytes_max`
    // are here already.
    io::Task<Result<std::size_t>> fill(std::size_t bytes_max, Instant deadline);

    // Takes what has arrived, without waiting. Never beyond `bytes_max`.
    enum class Filled : std::uint8_t { nothing, bytes, full, ended };
    Filled fill_now(std::size_t bytes_max);

    // Consumes the first `bytes` and leaves them where they are, so that views of them (a message
    // head) stay good while the rest of the message is read behind them; until let_go(). Moves what
    // follows only if little room is left there.
    void hold(std::size_t bytes);
    void let_go() noexcept;

    // Gives the memory back while nothing is in it.
    void release() noexcept {
        if (empty() && floor_ == 0) block_.reset();
    }

    io::Stream& stream() noexcept { return stream_; }

  private:
    void make_room(std::size_t bytes_max);
    void replace_block(std::size_t bytes);

    io::Stream& stream_;
    const std::size_t block_bytes_;
    Block block_;
    Block held_;             // the block of what is held, if it is another one
    std::size_t floor_ = 0;  // bytes at the beginning of block_ that are held
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace datapunk::mesh::http
