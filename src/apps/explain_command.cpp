// explain: why a request went where it went, or what was decided lately about a service's calls;
// asked of a running agent's admin API.

#include <fmt/format.h>

#include <cstdio>

#include "apps/agent_session.h"
#include "apps/registry_session.h"
#include "wire/url.h"

namespace datapunk::mesh::apps {

int run_explain(const ExplainCommand& command) {
    http::Request request{
        .target = fmt::format(
            "/explain?{}={}{}",
            command.is_service ? "service" : "id",
            wire::percent_encode(command.what),
            command.access.output == Output::json ? "" : "&format=text"
        )
    };
    const auto answer = ask_agent(command.access, std::move(request));
    if (!answer) return report(answer.error());
    fmt::print(answer->status == 200 ? stdout : stderr, "{}", answer->body);
    return answer->status == 200 ? exit_ok : exit_failed;
}

}  // namespace datapunk::mesh::apps
