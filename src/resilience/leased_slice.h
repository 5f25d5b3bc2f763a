#pragma once

// LeasedSlice: one process' part of tokens that many processes share: a rate limit, or what a retry
// budget allows beside its deposits. The tokens come from one bucket (rate, burst) that somebody
// keeps for all; a process takes a slice of them in advance and spends it without asking anybody.
//
//   calls, any thread:   try_take(), give_back()                     no wait, no lock, no clock
//   the exchange, about ten times a second:
//        ask(now) ──► wanted, returned ──► granted(tokens, processes, now)
//                                     └──► failed(now): no answer, or none yet
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
// So, without failures: taken by all <= rate x time + burst + what is in the slices at the start.
// Pure: the exchange is redis::SliceExchange, or a test.
//
// Threads: any may take and give back; one at a time asks, and tells what came. ~10 ns a token.
// Source: the token leases of Google's Doorman and of Envoy's rate limit quota service, reduced to
// what needs no server of its own.

#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>
#include <optional>

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
    // What was taken and not used.
    void give_back(std::uint32_t tokens = 1) noexcept;

    // At present, whole tokens.
    std::int64_t held() const noexcept { return held_.load(std::memory_order_relaxed); }

    // What it keeps in hand while nobody takes: its part of half of the burst.
    double in_hand() const noexcept {
        return config_.burst / 2 / static_cast<double>(processes_.load(std::memory_order_relaxed));
    }

    // Filling itself: nobody has answered yet, or lately.
    bool is_alone() const noexcept { return is_alone_.load(std::memory_order_relaxed); }

    // Somebody exchanges it, in vain or not. Before, nothing fills it.
    bool is_exchanged() const noexcept { return is_exchanged_.load(std::memory_order_relaxed); }

    const SliceConfig& config() const noexcept { return config_; }

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

    static constexpr Duration kExchangeInterval = std::chrono::milliseconds(100);

  private:
    double target() const noexcept;

    const SliceConfig config_;
    std::atomic<std::int64_t> held_;
    std::atomic<std::uint64_t> demanded_{0};
    std::atomic<bool> is_alone_{true};
    std::atomic<bool> is_exchanged_{false};

    // The exchange's.
    std::optional<Instant> asked_at_;
    std::uint64_t demanded_before_ = 0;
    double demand_ = 0;  // tokens a second, lately
    std::atomic<std::int64_t> processes_{1};
    std::optional<Instant> filled_at_;  // by itself; or answered
    double fraction_ = 0;               // of a token, filled in
    std::int64_t filled_ = 0;           // by itself, since it asked last
};

}  // namespace datapunk::mesh::resilience
