#pragma once

// MESH_ASSERT(cond): what only a defect of ours can make false. Stays in release. Never for input.

#include <source_location>

namespace datapunk::mesh::core {

[[noreturn]] void assertion_failed(
    const char* condition, const std::source_location& where = std::source_location::current()
) noexcept;

}  // namespace datapunk::mesh::core

#define MESH_ASSERT(cond) \
    (__builtin_expect(!!(cond), 1) ? void() : ::datapunk::mesh::core::assertion_failed(#cond))
