// The registrar's orphan reaper: once after the start, what an earlier run of this owner left is
// removed. In no hurry: many processes may start at once, and callers' own checks see the dead.

#include <algorithm>
#include <utility>

#include "mesh/registration_entry.h"

namespace datapunk::mesh::internal {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kFirst = seconds(1);
constexpr Duration kAgain = seconds(5);          // while the registry does not answer
constexpr Duration kBetween = milliseconds(50);  // 20 services a second
constexpr std::size_t kServicesMax = 10'000;

}  // namespace

io::Task<void> Registrar::reap() {
    if (!parts_.backend.capabilities().can_register) co_return;
    for (Duration pause = kFirst;; pause = kAgain) {
        const Duration wait = jittered(pause);
        co_await io::sleep_for(parts_.loop, wait);
        auto done = co_await reap_once();
        if (done) co_return;
    }
}

io::Task<Result<>> Registrar::reap_once() {
    const Instant deadline = parts_.loop.now() + parts_.timeout;
    auto services = co_await parts_.backend.services(deadline);
    if (!services) co_return std::move(services).error();
    std::size_t seen = 0;
    for (const registry::ServiceSummary& service : *services) {
        if (++seen > kServicesMax) break;
        std::string name = service.name;
        auto done = co_await reap_service(std::move(name));
        if (!done) co_return done;
        co_await io::sleep_for(parts_.loop, kBetween);
    }
    co_return Ok{};
}

io::Task<Result<std::vector<std::string>>> Registrar::orphans_of(std::string service) {
    const Instant deadline = parts_.loop.now() + parts_.timeout;
    auto answer = co_await parts_.backend.wait(std::move(service), 0, Duration::zero(), deadline);
    if (!answer) co_return std::move(answer).error();
    std::vector<std::string> ids;
    for (const ServiceEndpoint& endpoint : answer->endpoints) {
        if (parts_.who.is_orphan(endpoint)) ids.push_back(endpoint.id);
    }
    co_return ids;
}

io::Task<Result<>> Registrar::reap_service(std::string service) {
    std::string name = service;
    auto found = co_await orphans_of(std::move(name));
    if (!found) co_return std::move(found).error();
    for (const std::string& id : *found) {
        const Instant deadline = parts_.loop.now() + parts_.timeout;
        auto turn = co_await turns_.take(id, deadline);
        if (!turn || kept(id) != nullptr) continue;
        // Again, now that nobody here works on it: it may have been announced anew meanwhile.
        std::string asked = service;
        auto still = co_await orphans_of(std::move(asked));
        if (!still) co_return std::move(still).error();
        if (std::find(still->begin(), still->end(), id) == still->end()) continue;
        std::string gone_id = id;
        auto gone = co_await parts_.backend.deregister_service(std::move(gone_id), deadline);
        // Some registries let only the node that announced it take it back.
        if (!gone && gone.error().code == Code::not_found) continue;
        count("reap", gone);
        if (!gone) co_return gone;
        parts_.log.warn("removed what an earlier run had left", {{"service", service}, {"id", id}});
        if (!parts_.on_withdrawn) continue;
        ServiceConfig config{.name = service, .id = id};
        co_await parts_.on_withdrawn(std::move(config));
    }
    co_return Ok{};
}

}  // namespace datapunk::mesh::internal
