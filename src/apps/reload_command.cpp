// reload, config diff: have a running agent read its configuration anew, or say what that would
// change; asked of its admin API.

#include <fmt/format.h>

#include <cstdio>

#include "apps/agent_session.h"
#include "apps/registry_session.h"

namespace datapunk::mesh::apps {

int run_reload(const ReloadCommand& command) {
    http::Request request{
        .method = "POST",
        .target = fmt::format(
            "/config/reload?dry_run={}{}",
            command.dry_run,
            command.access.output == Output::json ? "" : "&format=text"
        )
    };
    const auto answer = ask_agent(command.access, std::move(request));
    if (!answer) return report(answer.error());
    fmt::print(answer->status == 200 ? stdout : stderr, "{}", answer->body);
    return answer->status == 200 ? exit_ok : exit_failed;
}

}  // namespace datapunk::mesh::apps
