#pragma once

// serve_call(): the attempts of one call of the proxy, in order: pick and guard, the attempt,
// whether once more. Every decision is ServicePolicies'; mesh::CallRun is the same for the library,
// and replay_test.cpp holds them to it. What is done between the decisions is the CallSteps':
// Exchange, or a test.

#include <datapunk/mesh/time.h>

#include <optional>

#include "io/task.h"
#include "policy/service_policies.h"
#include "resilience/retry_policy.h"

namespace datapunk::mesh::proxy {

class CallSteps {
  public:
    // As finish_attempt() takes it.
    struct Dropped {
        std::optional<bool> is_failure;
        bool is_overload = false;
    };

    virtual Instant now() const noexcept = 0;
    // Nobody waits for the answer any more.
    virtual bool has_left() const noexcept = 0;
    // A rate that lets calls through evenly. False: has_left().
    virtual io::Task<bool> wait_for_turn(Instant turn) = 0;
    // Nothing: the call has a place now, or has_left().
    virtual io::Task<std::optional<policy::NoEndpoint>> wait_for_place(policy::CallState& call) = 0;
    // One attempt, up to the head of its answer (without one, `status` is 0). Hedged, `at` becomes
    // the endpoint that answered, and the other is finished.
    virtual io::Task<resilience::AttemptEnd> try_at(
        policy::CallState& call, policy::HeldEndpoint& at
    ) = 0;
    // What follows from how it ended.
    virtual void note(const resilience::RetryDecision& decision) = 0;
    // Its answer is the call's: sent on, and the attempt finished.
    virtual io::Task<void> give_answer(policy::HeldEndpoint at) = 0;
    // Its answer, if there was one, is nobody's. What that says of the endpoint.
    virtual io::Task<Dropped> drop_answer(const policy::HeldEndpoint& at) = 0;
    virtual io::Task<void> answer_without_endpoint(policy::NoEndpoint why) = 0;
    virtual io::Task<void> answer_failure() = 0;
    // False: has_left().
    virtual io::Task<bool> wait_before_retry(Duration wait) = 0;

  protected:
    ~CallSteps() = default;
};

io::Task<void> serve_call(
    policy::ServicePolicies& service, policy::CallState& call, CallSteps& steps
);

}  // namespace datapunk::mesh::proxy
