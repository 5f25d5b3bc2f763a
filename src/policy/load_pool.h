#pragma once

// LoadPool: the EndpointLoads of one service's cells, side by side. What else a cell remembers is
// twenty times as long; were the lines spread among it, a pick among ten thousand endpoints would
// miss the processor's translations of addresses as well as its cache.
//
// Memory: of the most cells there were at once; pieces grow with their number, so that a service of
// three endpoints has four lines. Threads: take and give_back by the writer; the lines stay where
// they are until the pool goes.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "balance/candidate.h"

namespace datapunk::mesh::policy {

class LoadPool {
  public:
    LoadPool() = default;
    LoadPool(const LoadPool&) = delete;
    LoadPool& operator=(const LoadPool&) = delete;

    // As new.
    balance::EndpointLoad& take();
    // Nobody looks at it any more, but to compare its address.
    void give_back(balance::EndpointLoad& load) noexcept { free_.push_back(&load); }

    std::size_t size() const noexcept { return size_; }

  private:
    static constexpr std::size_t kPieceMin = 4;
    static constexpr std::size_t kPieceMax = 1024;  // 64 KiB

    std::vector<std::unique_ptr<balance::EndpointLoad[]>> pieces_;
    std::vector<balance::EndpointLoad*> free_;  // with room for all, so that giving back needs none
    std::size_t size_ = 0;                      // in all pieces
};

inline balance::EndpointLoad& LoadPool::take() {
    if (free_.empty()) {
        const std::size_t count = std::clamp(size_, kPieceMin, kPieceMax);
        balance::EndpointLoad* const first =
            pieces_.emplace_back(std::make_unique<balance::EndpointLoad[]>(count)).get();
        size_ += count;
        free_.reserve(size_);
        for (std::size_t i = count; i > 0; --i) free_.push_back(first + (i - 1));
    }
    balance::EndpointLoad& load = *free_.back();
    free_.pop_back();
    return *std::construct_at(&load);
}

}  // namespace datapunk::mesh::policy
