#pragma once

// One request to a running agent's admin API, and its answer. For the commands that ask it.

#include "apps/commands.h"
#include "http/message.h"

namespace datapunk::mesh::apps {

// With the token, if there is one. Waits for the answer.
Result<http::Response> ask_agent(const AgentAccess& access, http::Request request);

}  // namespace datapunk::mesh::apps
