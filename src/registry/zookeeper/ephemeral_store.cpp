#include "registry/zookeeper/ephemeral_store.h"

#if MESH_ZOOKEEPER

#include <fmt/format.h>

#include <utility>

#include "wire/url.h"

namespace datapunk::mesh::registry::zookeeper {

namespace {

constexpr int kTriesMax = 8;  // of a transaction that others keep winning

Error problem_of(std::string_view id, std::string_view why, Code code) {
    return store_problem("ZooKeeper", id, why, code);
}

bool is_other_state(const Error& error) {
    return error.code == Code::conflict || error.code == Code::not_found;
}

}  // namespace

std::string node_name(std::string_view text) {
    // No node may be called "." or "..".
    if (text == ".") return "%2E";
    if (text == "..") return "%2E%2E";
    return wire::percent_encode(text);
}

std::string service_path(const std::string& prefix, std::string_view service) {
    return fmt::format("{}/services/{}", prefix, node_name(service));
}

std::string instance_path(
    const std::string& prefix, std::string_view service, std::string_view id
) {
    return fmt::format("{}/services/{}/{}", prefix, node_name(service), node_name(id));
}

std::string EphemeralStore::claim_path(std::string_view id) const {
    return fmt::format("{}/ids/{}", session_.config().prefix, node_name(id));
}

io::Task<Result<EphemeralStore::Found>> EphemeralStore::find(std::string id, Instant deadline) {
    Found found;
    auto node = co_await session_.get(claim_path(id), false, deadline);
    if (!node && node.error().code == Code::not_found) co_return found;
    if (!node) co_return std::move(node).error();
    found.node = *std::move(node);
    found.claim = parse_claim(found.node.data);
    if (!found.claim) found.claim.emplace();  // somebody's, whoever wrote that
    if (found.claim->service.empty()) co_return found;
    const std::string path = instance_path(session_.config().prefix, found.claim->service, id);
    auto there = co_await session_.exists(path, false, deadline);
    if (!there) co_return std::move(there).error();
    found.has_instance = *there;
    co_return found;
}

io::Task<Result<std::uint64_t>> EphemeralStore::write(
    InstanceRecord record, bool takes_over, Instant deadline
) {
    const std::string& prefix = session_.config().prefix;
    const std::string id = record.endpoint.id;
    const std::string path = instance_path(prefix, record.endpoint.service, id);
    for (int tries = 0; tries < kTriesMax; ++tries) {
        auto found = co_await find(id, deadline);
        if (!found) co_return std::move(found).error();
        const std::optional<Claim>& claim = found->claim;
        const Contention place = contention(claim, record);
        if (place.is_others && !takes_over) co_return problem_of(id, kTaken, Code::conflict);
        record.generation = place.generation;
        const Claim ours{record.endpoint.service, record.owner, record.generation};
        const std::string data = to_json(record);
        const bool is_same_place = claim && claim->service == record.endpoint.service;
        const std::int32_t version = found->node.version;
        const std::string claimed = claim_path(id);
        std::vector<Step> steps;
        if (is_same_place && !place.is_others && found->node.is_mine && found->has_instance) {
            steps.push_back({.kind = Step::Kind::check, .path = claimed, .version = version});
            steps.push_back({.kind = Step::Kind::set, .path = path, .data = data});
        } else {
            bool is_in_the_way = is_same_place && found->has_instance;
            if (!is_same_place) {
                auto there = co_await session_.exists(path, false, deadline);
                if (!there) co_return std::move(there).error();
                is_in_the_way = *there;
            }
            if (claim) {
                steps.push_back({.kind = Step::Kind::remove, .path = claimed, .version = version});
            }
            if (claim && !is_same_place && found->has_instance) {
                steps.push_back(
                    {.kind = Step::Kind::remove, .path = instance_path(prefix, claim->service, id)}
                );
            }
            if (is_in_the_way) steps.push_back({.kind = Step::Kind::remove, .path = path});
            steps.push_back({.kind = Step::Kind::create, .path = claimed, .data = to_json(ours)});
            steps.push_back({.kind = Step::Kind::create, .path = path, .data = data});
        }
        auto done = co_await session_.commit(std::move(steps), deadline);
        if (done) co_return record.generation;
        if (!is_other_state(done.error())) co_return std::move(done).error();
        // Somebody was faster, or the nodes above are not there yet.
        const std::string parent = service_path(prefix, record.endpoint.service);
        auto made = co_await session_.make_path(parent, deadline);
        if (made) made = co_await session_.make_path(prefix + "/ids", deadline);
        if (!made) co_return std::move(made).error();
    }
    co_return problem_of(id, "others keep changing it", Code::unavailable);
}

io::Task<Result<>> EphemeralStore::erase(std::string id, std::string owner, Instant deadline) {
    for (int tries = 0; tries < kTriesMax; ++tries) {
        auto found = co_await find(id, deadline);
        if (!found) co_return std::move(found).error();
        if (const auto why = not_to_erase(found->claim, owner)) {
            co_return problem_of(id, *why, Code::not_found);
        }
        std::vector<Step> steps;
        steps.push_back(
            {.kind = Step::Kind::remove, .path = claim_path(id), .version = found->node.version}
        );
        if (found->has_instance) {
            const std::string path =
                instance_path(session_.config().prefix, found->claim->service, id);
            steps.push_back({.kind = Step::Kind::remove, .path = path});
        }
        auto done = co_await session_.commit(std::move(steps), deadline);
        if (done || !is_other_state(done.error())) co_return std::move(done);
    }
    co_return problem_of(id, "others keep changing it", Code::unavailable);
}

io::Task<Result<bool>> EphemeralStore::has(std::string id, Instant deadline) {
    auto found = co_await find(id, deadline);
    if (!found) co_return std::move(found).error();
    co_return found->has_instance;
}

io::Task<Result<std::optional<Metadata>>> EphemeralStore::metadata_of(
    std::string id, Instant deadline
) {
    std::optional<Metadata> metadata;
    auto found = co_await find(id, deadline);
    if (!found) co_return std::move(found).error();
    if (!found->has_instance) co_return metadata;
    const std::string service = found->claim->service;
    const std::string path = instance_path(session_.config().prefix, service, id);
    auto node = co_await session_.get(path, false, deadline);
    if (!node && node.error().code == Code::not_found) co_return metadata;
    if (!node) co_return std::move(node).error();
    metadata = metadata_of_record(node->data, service, id);
    co_return metadata;
}

}  // namespace datapunk::mesh::registry::zookeeper

#endif
