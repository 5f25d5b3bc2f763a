#pragma once

// PolicySettings: a service's policy with what follows from it, immutable; ServicePolicies
// publishes one after another. PolicyInForce: the one of this moment, as callers look at it.
//
// A change of policy takes effect between any two questions of a call: what was answered by the old
// one stays. Whoever needs several fields that belong together asks once:
//
//     const auto policy = service.policy();   // policy->retry, policy->limits …
//
// Threads: a PolicyInForce ends in the thread that made it, soon, and never lives across co_await
// (it holds an epoch guard). Cost: about 2 ns.

#include <datapunk/mesh/policy.h>

#include <atomic>
#include <cstdint>

#include "balance/spread.h"
#include "core/epoch.h"
#include "policy/cell.h"

namespace datapunk::mesh::policy {

struct PolicySettings {
    // `policy` has passed check(). `seed`: of a caller without a name.
    PolicySettings(const ServicePolicy& the_policy, std::uint64_t seed);

    const ServicePolicy policy;
    const CallPolicy call;
    const balance::SpreadRules rules;
};

// What was published last, for as long as this lives: likewise a moment.
template <class T>
class InForce {
  public:
    explicit InForce(const std::atomic<T*>& published) noexcept
        : at_(published.load(std::memory_order_acquire)) {}

    const T& operator*() const noexcept { return *at_; }

    const T* operator->() const noexcept { return at_; }

  private:
    core::EpochGuard guard_;  // first
    const T* at_;
};

class PolicyInForce {
  public:
    explicit PolicyInForce(const std::atomic<const PolicySettings*>& published) noexcept
        : settings_(published.load(std::memory_order_acquire)) {}

    const ServicePolicy& operator*() const noexcept { return settings_->policy; }

    const ServicePolicy* operator->() const noexcept { return &settings_->policy; }

    const CallPolicy& call() const noexcept { return settings_->call; }

  private:
    core::EpochGuard guard_;  // first
    const PolicySettings* settings_;
};

}  // namespace datapunk::mesh::policy
