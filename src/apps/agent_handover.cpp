// One agent takes the place of another: the follower's side and the predecessor's.

#include <fmt/format.h>

#include "apps/agent.h"

namespace datapunk::mesh::apps {

namespace {

// How long a follower may take to learn where its services are; then the old process stays.
constexpr Duration kLearnTime = std::chrono::seconds(30);

}  // namespace

// Nobody is to be answered 503 because this process is new: it accepts when it knows whom to ask.
Result<> Agent::wait_for_services() {
    const Instant deadline = loop_.now() + kLearnTime;
    std::vector<Unready> missing = unready();
    while (!missing.empty() && loop_.now() < deadline) {
        loop_.turn(std::min(deadline, loop_.now() + std::chrono::milliseconds(100)));
        missing = unready();
    }
    if (missing.empty()) return Ok{};
    return Error{
        .code = Code::timeout,
        .what = fmt::format(
            "not taken over: {} ({}) after {} s",
            missing.front().why,
            missing.front().part,
            std::chrono::duration_cast<std::chrono::seconds>(kLearnTime).count()
        )
    };
}

// Both listen now; the predecessor stops.
Result<> Agent::follow(io::HandoverClient& predecessor) {
    if (auto gone = predecessor.finish(); !gone) return gone;
    for (const io::SocketAddress& at : sockets_.close_untaken()) {
        log_.warn(
            "the process before listened here, the configuration does not",
            {{"address", at.to_string()}}
        );
    }
    log_.info("took over from the process before");
    return Ok{};
}

Result<> Agent::listen_for_follower() {
    const std::string& path = config().upgrade.socket;
    if (path.empty()) return Ok{};
    auto server = io::HandoverServer::open(
        loop_,
        path,
        sockets_,
        {.release = [this] { release_registry(); },
         .taken_over =
             [this] {
                 note_event(
                     {.when = loop_.now(),
                      .what = "handed over",
                      .why = "another process took this one's place"}
                 );
                 is_handed_over_ = true;
                 taken_over_.set();
             }},
        log_
    );
    if (!server) return std::move(server).error();
    handover_ = *std::move(server);
    return Ok{};
}

// The embedded registry's state is for the follower. Calls go on with the endpoints known last.
void Agent::release_registry() {
    if (local_registry_ == nullptr) return;
    log_.info("the registry is handed over");
    watches_.clear();
    registrar_.reset();
    own_writes_.reset();
    discovery_collector_.reset();
    discovery_.reset();
    backend_.reset();
    observed_ = nullptr;
    local_registry_.reset();
}

}  // namespace datapunk::mesh::apps
