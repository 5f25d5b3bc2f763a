#pragma once

// run_on: runs one task on a loop (real or simulated) until it ends, for tests. seed_for_test:
// the seed of a randomised test: SEED= in the environment replays a failure.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::sim {

inline constexpr Duration kRunLimit = std::chrono::seconds(30);

namespace detail {

template <class T>
io::Task<void> keep(io::Task<T> task, std::optional<T>* out) {
    auto value = co_await std::move(task);
    out->emplace(std::move(value));
}

inline io::Task<void> note_end(io::Task<void> task, bool* ended) {
    co_await std::move(task);
    *ended = true;
}

}  // namespace detail

// The task's value; nothing if it has not ended after `limit` (it is then destroyed).
template <class T>
std::optional<T> run_on(io::Loop& loop, io::Task<T> task, Duration limit = kRunLimit) {
    std::optional<T> value;
    io::TaskGroup group;
    group.spawn(detail::keep(std::move(task), &value));
    const Instant end = loop.now() + limit;
    while (!value && loop.now() < end) loop.turn(end);
    return value;
}

inline bool run_on(io::Loop& loop, io::Task<void> task, Duration limit = kRunLimit) {
    bool ended = false;
    io::TaskGroup group;
    group.spawn(detail::note_end(std::move(task), &ended));
    const Instant end = loop.now() + limit;
    while (!ended && loop.now() < end) loop.turn(end);
    return ended;
}

// SEED= from the environment, or `fallback`.
std::uint64_t seed_for_test(std::uint64_t fallback);
// For SCOPED_TRACE: "replay with SEED=42".
std::string seed_hint(std::uint64_t seed);

}  // namespace datapunk::mesh::sim
