#pragma once

// PhiAccrual: how suspicious a silence is. phi = -log10(P(a heartbeat comes later than this)), with
// the intervals between heartbeats taken as normal: 1 is wrong once in ten silences, 8 once in
// 10^8.
//
//   heartbeat ── interval ── heartbeat ── interval ── heartbeat ─────── silence ───────► now
//                  kept: the last kSamplesMax                       compared with those
//
// * mean and deviation are of the last kSamplesMax intervals; the mean is increased by `pause`, a
//   silence that is nothing to it.
// * The deviation is at least deviation_min: without it a clock's regularity would convict at the
//   first lateness.
// * Before kSamplesMin intervals phi is 0: one interval is no distribution.
// * rest(): nothing was expected until now (no calls were out); the silence starts afresh and is
//   no interval. The same after a pause of our own process, or everybody would be convicted at
//   once.
//
// Invariants: phi is finite, never negative, and does not fall while the silence goes on.
//
// Thread rule: one owner. Cost: O(1) a heartbeat, an exp and a log a question; 256 bytes.
// Source: Hayashibara et al. 2004; the logistic approximation of the normal tail is Akka's, taken
// as a logarithm so that it neither cancels nor overflows.

#include <datapunk/mesh/time.h>

#include <array>
#include <cstddef>

namespace datapunk::mesh::health {

class PhiAccrual {
  public:
    static constexpr std::size_t kSamplesMax = 64;
    static constexpr std::size_t kSamplesMin = 5;

    PhiAccrual(Duration pause, Duration deviation_min) noexcept
        : pause_(pause), deviation_min_(deviation_min) {}

    void heartbeat(Instant now) noexcept;
    void rest(Instant now) noexcept;
    double phi(Instant now) const noexcept;

    std::size_t samples() const noexcept { return count_; }

    Duration mean() const noexcept;
    Duration deviation() const noexcept;

  private:
    Duration pause_;
    Duration deviation_min_;
    std::array<float, kSamplesMax> seconds_{};  // intervals; a ring
    std::size_t count_ = 0;
    std::size_t at_ = 0;
    Instant since_ = kNever;    // of the silence; kNever = nothing has come yet
    bool is_interval_ = false;  // since_ is a heartbeat, so that the next ends an interval
};

}  // namespace datapunk::mesh::health
