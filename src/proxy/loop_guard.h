#pragma once

// LoopGuard: finds connections of this process that a rule set leads back to it (docs/capture.md):
// each would be passed on as one more, without end. A connection is known by both its ends: as we
// make it, and as it arrives where it was not meant to. Whichever is seen second is the loop, so
// that no order of events escapes. Kept for as long as the connections live, since a pair of ends
// is used again afterwards. Thread-safe; ~1 us a connection, and only where connections are
// captured.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "io/address.h"

namespace datapunk::mesh::proxy {

class LoopGuard {
  public:
    // While a connection lives.
    class Token {
      public:
        Token() = default;

        Token(Token&& other) noexcept
            : guard_(std::exchange(other.guard_, nullptr)),
              ends_(other.ends_),
              is_captured_(other.is_captured_) {}

        Token& operator=(Token&& other) noexcept {
            std::swap(guard_, other.guard_);
            std::swap(ends_, other.ends_);
            std::swap(is_captured_, other.is_captured_);
            return *this;
        }

        ~Token() {
            if (guard_ != nullptr) guard_->forget(ends_, is_captured_);
        }

      private:
        friend class LoopGuard;

        LoopGuard* guard_ = nullptr;
        std::pair<io::SocketAddress, io::SocketAddress> ends_;
        bool is_captured_ = false;
    };

    // When the first connection is captured; before that none can have come back.
    void switch_on() noexcept { is_on_.store(true, std::memory_order_relaxed); }

    bool is_on() const noexcept { return is_on_.load(std::memory_order_relaxed); }

    // We have made a connection from `local` to `remote`. Nothing: it has come back to us.
    std::optional<Token> made(const io::SocketAddress& local, const io::SocketAddress& remote) {
        return note({local, remote}, false);
    }

    // One from `peer` has come, which was meant for `destination`. Nothing: it is one of ours.
    std::optional<Token> captured(
        const io::SocketAddress& peer, const io::SocketAddress& destination
    ) {
        return note({peer, destination}, true);
    }

    // Whether a captured connection has turned out to be one of ours meanwhile.
    bool has_come_back(const Token& captured);

  private:
    using Ends = std::pair<io::SocketAddress, io::SocketAddress>;

    std::optional<Token> note(const Ends& ends, bool is_captured);
    void forget(const Ends& ends, bool is_captured);

    std::atomic<bool> is_on_ = false;
    std::mutex mutex_;
    std::multiset<Ends> made_;
    std::multiset<Ends> captured_;
    std::set<Ends> come_back_;  // of captured_
};

}  // namespace datapunk::mesh::proxy
