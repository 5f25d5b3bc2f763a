#pragma once

// FaultPlan: how one link between two simulated hosts misbehaves. A value; set per link, may change
// at any time. Probabilities are drawn from the world's seed.

#include <datapunk/mesh/time.h>

#include <cstddef>
#include <cstdint>

namespace datapunk::mesh::sim {

struct FaultPlan {
    // One way, drawn per segment, uniform; order within a connection is kept.
    Duration latency_min = std::chrono::milliseconds(1);
    Duration latency_max = std::chrono::milliseconds(1);
    // Per segment: lost and sent again `retransmit` later (TCP hides the loss, not the delay).
    double loss = 0;
    Duration retransmit = std::chrono::milliseconds(200);
    // How long a sender repeats itself unheard before it gives up with ETIMEDOUT.
    Duration give_up = std::chrono::minutes(2);
    double reset = 0;        // per segment: both ends see a reset
    double refuse = 0;       // per connect
    double blackhole = 0;    // per connect: no answer at all
    double short_read = 0;   // per read: fewer bytes than are there
    double short_write = 0;  // per write: fewer bytes than there is room for
    // Datagrams are lost with `loss` for good, and overtake each other if the latency varies.
    double datagram_twice = 0;  // per datagram: arrives twice
    double datagram_cut = 0;    // per datagram: only its beginning arrives
    std::size_t segment_bytes_max = 1460;
    std::size_t buffer_bytes = 65'536;   // unread by the receiver, per direction: back-pressure
    std::uint64_t bytes_per_second = 0;  // per direction of a connection; 0 = no limit
};

}  // namespace datapunk::mesh::sim
