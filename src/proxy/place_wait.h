#pragma once

// wait_for_place(): a call waits for a place of its service's limit (policy/admission.h), until it
// has one, has waited enough, or its caller has gone. The place may come from any worker's thread:
// the word is posted to this one's loop.

#include <optional>

#include "io/loop.h"
#include "io/task.h"
#include "policy/admission.h"

namespace datapunk::mesh::proxy {

// Nothing: the call has its place, and begin_attempt must follow at once; or the caller has gone,
// which sets `wake` as well. `call`, `wake` and `client_gone` are the exchange's and outlive this.
io::Task<std::optional<policy::NoEndpoint>> wait_for_place(
    policy::Admission& admission,
    policy::CallState& call,
    io::Loop& loop,
    io::Event& wake,
    const bool& client_gone
);

}  // namespace datapunk::mesh::proxy
