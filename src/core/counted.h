#pragma once

// Counted: one more for as long as it lives. Of whoever waits, asks or is served.

#include <cstddef>

namespace datapunk::mesh::core {

class [[nodiscard]] Counted {
  public:
    // `counter` must outlive it.
    explicit Counted(std::size_t& counter) noexcept : count_(counter) { ++count_; }

    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

    ~Counted() { --count_; }

  private:
    std::size_t& count_;
};

}  // namespace datapunk::mesh::core
