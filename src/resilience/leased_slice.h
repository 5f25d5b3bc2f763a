#pragma once

// LeasedSlice: one process' part of tokens that many processes share: a rate limit, or what a retry
// budget allows beside its deposits. The tokens come from one bucket (rate, burst) that somebody
// keeps for all; a process takes a slice of them in advance and spends it without asking anybody.
//
//   calls, any thread:   try_take(), try_owe(), give_back()          no wait, no lock, no clock
//   the exchange, about ten times a second:
//        ask(now) ──► wanted, returned ──► granted(tokens, processes, now)
//                                     └──► failed(now): no answer, or none yet
//        give_up() ─► returned             once nobody wants it any more
//
// * Wanted: what was asked for lately (refused or not), three exchanges ahead; at least the share
//   of half of the burst that falls to each process, so that there is something in hand when calls
//   come all at once. What is far more than that is returned.
// * While nobody answers the slice fills by itself, at the rate divided by the processes that there
//   were: together they keep to the rate about as well as before, and none of them ever waits for
//   an answer. An answer that comes late is reduced by what was filled in meanwhile.
// * Tokens are lost rather than doubled: what was granted in an answer that never came, and what
//   was returned in a question that may not have arrived.
//
// * Other numbers (reconfigure) go on with what is held, less in proportion if there is to be less:
//   no process begins with a burst of its own because a policy has changed.
// * Held are at most `burst`, and what its own calls give back. What may be owed is whoever takes'
//   business; it is paid first.
//
// So, without failures: taken by all <= rate x time + burst + what is in the slices at the start
// + what is owed. In the slices are half of the burst (one in each at least) and, for a second
// after they were asked for, what the bucket brings in it. Pure: the exchange is
// redis::SliceExchange, or a test.
//
// Threads: any may take and give back; one at a time asks, and tells what came; one at a time
// reconfigures. ~10 ns a token.
// Source: the token leases of Google's Doorman and of Envoy's rate limit quota service, reduced to
// what needs no server of its own.

#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "resilience/demand.h"

namespace datapunk::mesh::resilience {

// Of all processes together.
struct SliceConfig {
    double rate = 0;   // tokens a second
    double burst = 1;  // most that are there at a time, at least 1
    friend bool operator==(const SliceConfig&, const SliceConfig&) = default;
};

class LeasedSlice {
  public:
    // Begins with what one exchange brings, so that the first calls need not wait for it.
    explicit LeasedSlice(const SliceConfig& config) noexcept;

    // All or nothing.
    [[nodiscard]] bool try_take(std::uint32_t tokens = 1) noexcept;
    // One, on credit if there is none: how many are owed then. Nothing if that would be more than
    // `most`.
    [[nodiscard]] std::optional<std::int64_t> try_owe(std::int64_t most) noexcept;
    // What was taken and not used.
    void give_back(std::uint32_t tokens = 1) noexcept;

    // At present, whole tokens; negative if some are owed.
    std::int64_t held() const noexcept { return held_.load(std::memory_order_relaxed); }

    // What it keeps in hand while nobody takes: its part of half of the burst.
    double in_hand() const noexcept { return config().burst / 2 / processes(); }

    // Tokens a second that this process can count on: its part of the rate, or more if it has got
    // more lately.
    double income() const noexcept;

    // That share the bucket, this one too, as far as is known.
    double processes() const noexcept {
        return static_cast<double>(processes_.load(std::memory_order_relaxed));
    }

    // Filling itself: nobody has answered yet, or lately.
    bool is_alone() const noexcept { return is_alone_.load(std::memory_order_relaxed); }

    // Somebody exchanges it, in vain or not. Before, nothing fills it.
    bool is_exchanged() const noexcept { return is_exchanged_.load(std::memory_order_relaxed); }

    // Whether anybody takes from it. If not, the exchange returns what is held and forgets it.
    void set_wanted(bool is_wanted) noexcept { is_wanted_ = is_wanted; }

    bool is_wanted() const noexcept { return is_wanted_; }

    SliceConfig config() const noexcept {
        return {
            .rate = rate_.load(std::memory_order_relaxed),
            .burst = burst_.load(std::memory_order_relaxed)
        };
    }

    void reconfigure(const SliceConfig& config) noexcept;

    // --- the exchange
    struct Ask {
        std::int64_t wanted = 0;
        std::int64_t returned = 0;  // are no longer held

        bool is_empty() const noexcept { return wanted == 0 && returned == 0; }
    };

    // Once an exchange; then granted() (with zero, if it was empty and need not be sent) or
    // failed().
    Ask ask(Instant now) noexcept;
    // `processes`: that share the bucket at present, this one too; 0 = as before.
    void granted(std::int64_t tokens, std::int64_t processes, Instant now) noexcept;
    // As often as one likes while there is no answer.
    void failed(Instant now) noexcept;
    // All that is held is returned.
    Ask give_up() noexcept;

    static constexpr Duration kExchangeInterval = std::chrono::milliseconds(100);

  private:
    double target() const noexcept;

    std::atomic<double> rate_;
    std::atomic<double> burst_;
    std::atomic<std::int64_t> held_;
    std::atomic<std::uint64_t> demanded_{0};
    std::atomic<bool> is_alone_{true};
    std::atomic<bool> is_exchanged_{false};
    std::atomic<bool> is_wanted_{true};
    std::atomic<double> got_{0};  // tokens a second, lately
    std::atomic<std::int64_t> processes_{1};

    // The exchange's.
    Demand demand_;
    std::optional<Instant> filled_at_;  // by itself; or answered
    std::optional<Instant> granted_at_;
    double fraction_ = 0;      // of a token, filled in
    std::int64_t filled_ = 0;  // by itself, since it asked last
};

}  // namespace datapunk::mesh::resilience
