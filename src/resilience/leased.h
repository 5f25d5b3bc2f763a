#pragma once

// Leased: what is exchanged with other processes, of either kind; neither pointer is null.

#include <memory>
#include <variant>

#include "resilience/leased_slice.h"
#include "resilience/leased_window.h"

namespace datapunk::mesh::resilience {

using Leased = std::variant<std::shared_ptr<LeasedSlice>, std::shared_ptr<LeasedWindow>>;

inline bool is_alone(const Leased& leased) noexcept {
    return std::visit([](const auto& its) { return its->is_alone(); }, leased);
}

}  // namespace datapunk::mesh::resilience
