// /v1/snapshot: a backup of everything (GET), and back again (PUT). Consul's paths and rules, a
// format of its own: registry/embedded/backup.h.

#include <fmt/format.h>

#include <utility>

#include "registry/embedded/backup.h"
#include "server/endpoints.h"

namespace datapunk::mesh::server {

namespace {

Reply save(Context context) {
    const Instant deadline = context.now() + kSnapshotTimeout;
    auto bytes = co_await context.registry->backup(deadline);
    if (!bytes) co_return plain_answer(500, bytes.error().what);
    http::Response response;
    response.headers.push_back({"Content-Type", "application/octet-stream"});
    response.headers.push_back({"X-Consul-Index", fmt::format("{}", context.catalog().index())});
    response.shared_body = std::make_shared<const std::string>(*std::move(bytes));
    co_return response;
}

Reply restore(Context context, Call call) {
    auto backup = registry::embedded::decode_backup(call.request.body);
    if (!backup) co_return plain_answer(400, backup.error().what);
    catalog::Command command = catalog::RestoreState{std::move(backup->state)};
    call.request.body = {};
    const Instant deadline = context.now() + kSnapshotTimeout;
    const catalog::Command kind = catalog::RestoreState{};  // for the status of an error
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    co_return http::Response{};
}

Reply answer(http::Response response) {
    co_return response;
}

}  // namespace

Reply snapshot(Context context, Call call) {
    // It holds every secret.
    if (auto refused = refuse_unless(call, Resource::acl, Verb::write)) {
        return answer(*std::move(refused));
    }
    if (call.request.method == "PUT") return restore(context, std::move(call));
    return save(context);
}

}  // namespace datapunk::mesh::server
