#pragma once

// SimSignals: signals that a test raises.

#include "io/signals.h"

namespace datapunk::mesh::sim {

class SimSignals final : public io::Signals {
  public:
    explicit SimSignals(io::Loop& loop) : Signals(loop) {}

    void raise(int signal) { deliver(signal); }
};

}  // namespace datapunk::mesh::sim
