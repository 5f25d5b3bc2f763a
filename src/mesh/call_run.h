#pragma once

// CallRun: the attempts of one call of the library, on its caller's thread: each at the endpoint
// that ServicePolicies gives, hedged if the policy says so and the caller allows it, until one has
// a good answer or the policies say stop. Every decision is theirs; proxy::serve_call() is the same
// for the proxy, and replay_test.cpp holds them to it.
//
// One thread, but for a hedge, which runs on one of the Hedger's.

#include <datapunk/mesh/call.h>

#include <cstddef>
#include <optional>

#include "io/thread_clock.h"
#include "mesh/hedger.h"
#include "policy/service_policies.h"

namespace datapunk::mesh::internal {

// What it stands on. MeshCore is one; a test brings its own.
class CallWorld {
  public:
    virtual io::ThreadClock& clock() = 0;
    virtual Hedger& hedger() = 0;
    // False: the mesh stops.
    virtual bool sleep_until(Instant until) = 0;
    // Nothing: the call has a place now.
    virtual std::optional<policy::NoEndpoint> wait_for_place(
        policy::ServicePolicies& policies, policy::CallState& call, Instant now
    ) = 0;
    virtual bool is_stopping() = 0;

  protected:
    ~CallWorld() = default;
};

class CallRun {
  public:
    // All outlive it.
    CallRun(
        CallWorld& world,
        policy::ServicePolicies& policies,
        policy::CallState& call,
        const CallOptions& options,
        const AttemptFunction& attempt
    )
        : world_(world),
          clock_(world.clock()),
          policies_(policies),
          call_(call),
          options_(options),
          attempt_(attempt) {}

    Result<> run();

  private:
    struct Try;

    Try make_try(policy::HeldEndpoint held, Instant now) const;
    bool is_good_answer(const resilience::AttemptEnd& end) const;
    Try run_attempt(Try first);
    std::optional<std::size_t> race(Try& first, std::optional<Try>& second, Duration delay);

    CallWorld& world_;
    io::ThreadClock& clock_;
    policy::ServicePolicies& policies_;
    policy::CallState& call_;
    const CallOptions& options_;
    const AttemptFunction& attempt_;
};

}  // namespace datapunk::mesh::internal
