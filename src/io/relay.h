#pragma once

// Relay: moves bytes between two streams, in both directions, until both have ended.
//
//   a ──read──► buffer or pipe ──write──► b        and the same from b to a, independently
//
// Each direction ends by itself: what one side finishes is finished towards the other, which may go
// on sending (half-close). A slow reader stops its writer: one buffer a direction, none while
// nothing moves. Bulk between two TCP connections goes through pipes, without copies
// (splice_end.h); short messages are cheaper to copy. A side that breaks off is shown to the other
// as a reset, never as an end. No coroutine and no timer is woken per piece.
//
// One loop's object; the streams outlive it.

#include <cstdint>
#include <memory>
#include <string>

#include "io/network.h"
#include "io/stream.h"
#include "io/task.h"

namespace datapunk::mesh::io {

class SpliceEnd;

struct RelayConfig {
    Duration idle_timeout = std::chrono::seconds(60);  // without a byte in either direction
    Instant deadline = kNever;                         // however busy it is
};

enum class RelayEnd : std::uint8_t {
    finished,  // both sides have ended
    idle,
    deadline,
    a_failed,  // its connection broke
    b_failed,
    stopped,
};

class Relay {
  public:
    Relay(Stream& a, Stream& b, const RelayConfig& config);
    ~Relay();
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    // Goes to b before anything else: what was read of a already; and the same the other way.
    // Before run().
    void put_back(std::string of_a, std::string of_b = {});

    // Until the end. The streams are as they were left: closing or resetting them is the caller's.
    Task<RelayEnd> run();

    // Ends run(), later in the turn.
    void stop() { end(RelayEnd::stopped); }

    std::uint64_t a_to_b() const noexcept;
    std::uint64_t b_to_a() const noexcept;

  private:
    class Half;

    struct Check : Timer {
        explicit Check(Relay& owner) noexcept : Timer(&Check::on_fire), relay(owner) {}

        static void on_fire(Timer& timer) { static_cast<Check&>(timer).relay.check_time(); }

        Relay& relay;
    };

    void check_time();
    void note_progress() noexcept;
    void half_ended();
    void end(RelayEnd why);

    Loop& loop_;
    RelayConfig config_;
    Instant moved_at_;
    RelayEnd why_ = RelayEnd::finished;
    Event done_;
    Check check_;
    std::unique_ptr<Half> forth_;
    std::unique_ptr<Half> back_;
};

// Half of the buffers and pipes that this thread keeps for its relays, and has not needed since the
// last time, go back to the system. Call about once a second.
void sweep_relay_buffers();

}  // namespace datapunk::mesh::io
