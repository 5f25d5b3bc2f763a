#pragma once

// How long to wait before the next attempt. Free functions; ~2 ns.
// Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015: full jitter costs
// the least work, decorrelated jitter is the smoother one for long series of retries.

#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/time.h>

#include <cstdint>

#include "core/rng.h"

namespace datapunk::mesh::resilience {

// Uniform in [0, min(max, base x 2^retry)]; retry counts from 0. Never overflows.
Duration full_jitter(const BackoffConfig& config, std::uint32_t retry, core::Rng& rng) noexcept;

// Uniform in [base, 3 x previous], at most max; previous = zero for the first.
Duration decorrelated_jitter(
    const BackoffConfig& config, Duration previous, core::Rng& rng
) noexcept;

}  // namespace datapunk::mesh::resilience
