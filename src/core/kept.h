#pragma once

// Kept: things that are kept for whoever needs one next, instead of being made anew: at most so
// many, and those that nobody needs go. One thread's object.

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace datapunk::mesh::core {

template <class T>
class Kept {
  public:
    explicit Kept(std::size_t max) : max_(max) {}

    bool empty() const noexcept { return things_.empty(); }

    bool full() const noexcept { return things_.size() >= max_; }

    std::size_t size() const noexcept { return things_.size(); }

    // The one put last: it is the likeliest to be in the cache. Not if it is empty.
    T take() {
        T thing = std::move(things_.back());
        things_.pop_back();
        unused_ = std::min(unused_, things_.size());
        return thing;
    }

    // Not if it is full.
    void put(T thing) { things_.push_back(std::move(thing)); }

    // So that put() does not allocate.
    void reserve() { things_.reserve(max_); }

    // Half of what has not been needed since the last time goes. Call about once a second.
    void sweep() {
        const auto gone = static_cast<std::ptrdiff_t>((unused_ + 1) / 2);
        things_.erase(things_.begin(), things_.begin() + gone);
        unused_ = things_.size();
    }

  private:
    std::size_t max_;
    std::vector<T> things_;
    std::size_t unused_ = 0;  // the fewest that lay here since the last sweep
};

}  // namespace datapunk::mesh::core
