#pragma once

// SimFileWatch: changes that a test tells of.

#include <optional>

#include "io/file_watch.h"

namespace datapunk::mesh::sim {

class SimFileWatch final : public io::FileWatch {
  public:
    explicit SimFileWatch(io::Loop& loop) : FileWatch(loop) {}

    void touch() { note_change(); }

    Result<> refresh() override {
        ++refreshes;
        return refused ? Result<>(*refused) : Ok{};
    }

    int refreshes = 0;
    std::optional<Error> refused;  // what refresh() answers
};

}  // namespace datapunk::mesh::sim
