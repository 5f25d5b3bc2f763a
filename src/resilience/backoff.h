#pragma once

// How long to wait before the next attempt, in the ways that BackoffConfig::kind names. Free
// functions; ~2 ns. Always within [0, max], and none overflows, however many retries.
// Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015: full jitter costs
// the least work, decorrelated jitter is the smoother one for long series of retries.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <cstdint>

#include "core/rng.h"

namespace datapunk::mesh::resilience {

// As config.kind says. `retry` counts from 0; `previous` is the wait before, zero for the first.
Duration backoff(
    const BackoffConfig& config, std::uint32_t retry, Duration previous, core::Rng& rng
) noexcept;

// Uniform in [0, min(max, base x 2^retry)]; retry counts from 0. Never overflows.
Duration full_jitter(const BackoffConfig& config, std::uint32_t retry, core::Rng& rng) noexcept;

// Uniform in [base, 3 x previous], at most max; previous = zero for the first.
Duration decorrelated_jitter(
    const BackoffConfig& config, Duration previous, core::Rng& rng
) noexcept;

}  // namespace datapunk::mesh::resilience
