#pragma once

// HedgeRace: what an attempt and its hedge share, in one call of the library: who has been told
// that nobody waits for its answer.
//
//   slot 0: the attempt, on the caller's thread     slot 1: its hedge, on another
//
// cancel() of one calls what its function has left with on_cancel(), on the thread of the other
// one; leave(), after the function has returned, waits for that to end, so that the callback's
// captures are safe. Any thread.

#include <array>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>

namespace datapunk::mesh::internal {

class HedgeRace {
  public:
    bool is_cancelled(std::size_t slot) const;
    // At once, if it is cancelled already.
    void on_cancel(std::size_t slot, std::function<void()> callback);
    void cancel(std::size_t slot);
    void leave(std::size_t slot);

  private:
    struct Side {
        std::function<void()> callback;
        bool is_cancelled = false;
        bool is_called = false;  // at this moment
        bool has_left = false;
    };

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::array<Side, 2> sides_;
};

}  // namespace datapunk::mesh::internal
