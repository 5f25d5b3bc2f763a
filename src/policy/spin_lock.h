#pragma once

// SpinLock: for sections of a few tens of nanoseconds that hardly ever meet, such as recording one
// endpoint's outcome. Waiters yield soon, so that a holder that lost its processor gets it back.
// Satisfies BasicLockable. One byte; ~7 ns uncontended.

#include <atomic>
#include <thread>

namespace datapunk::mesh::policy {

class SpinLock {
  public:
    void lock() noexcept {
        for (int spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins) {
            while (locked_.load(std::memory_order_relaxed)) {
                if (++spins > kSpinsBeforeYield) std::this_thread::yield();
            }
        }
    }

    void unlock() noexcept { locked_.store(false, std::memory_order_release); }

  private:
    static constexpr int kSpinsBeforeYield = 64;

    std::atomic<bool> locked_{false};
};

}  // namespace datapunk::mesh::policy
