#pragma once

// ConcurrencyLimit: at most so many at a time; more are refused at once, never queued. For the
// connections, pending and requests of LimitsConfig.
//
// Thread rule: any thread; one relaxed atomic. A refused try_acquire writes nothing. Cost: ~5 ns.

#include <atomic>
#include <cstdint>

#include "core/assert.h"

namespace datapunk::mesh::resilience {

class ConcurrencyLimit {
  public:
    explicit ConcurrencyLimit(std::uint32_t limit) noexcept : limit_(limit) {}

    // True: the caller holds a place, and gives it back with exactly one release().
    [[nodiscard]] bool try_acquire() noexcept {
        const std::uint32_t limit = limit_.load(std::memory_order_relaxed);
        std::uint32_t held = held_.load(std::memory_order_relaxed);
        do {
            if (held >= limit) return false;
        } while (!held_.compare_exchange_weak(held, held + 1, std::memory_order_relaxed));
        return true;
    }

    void release() noexcept {
        const std::uint32_t before = held_.fetch_sub(1, std::memory_order_relaxed);
        MESH_ASSERT(before > 0);
    }

    // Lowering it below what is held evicts nobody: places are refused until enough are back.
    void set_limit(std::uint32_t limit) noexcept { limit_.store(limit, std::memory_order_relaxed); }

    std::uint32_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }

    std::uint32_t held() const noexcept { return held_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint32_t> held_ = 0;
    std::atomic<std::uint32_t> limit_;
};

}  // namespace datapunk::mesh::resilience
