#include <fmt/format.h>

#include <algorithm>

#include "catalog/apply.h"
#include "catalog/catalog.h"
#include "catalog/fields.h"

namespace datapunk::mesh::catalog {

namespace {

// Far beyond what can be counted to, far below where counting on would overflow.
constexpr std::uint64_t kIndexMax = std::uint64_t{1} << 62U;

Error unreadable(std::string_view why) {
    return {.code = Code::invalid, .what = fmt::format("catalog snapshot unreadable: {}", why)};
}

void encode_checks(Encoder& out, const CheckMap& checks) {
    out(std::uint64_t{checks.size()});
    for (const auto& [id, check] : checks) out(check);
}

// False if the bytes are bad or an id comes twice on a node.
bool decode_checks(Decoder& in, CatalogNode& node, const std::string& owner, CheckMap& checks) {
    std::uint64_t left = 0;
    for (in(left); left > 0 && in.ok(); --left) {
        CheckRow check;
        in(check);
        check.service_id = owner;
        const std::string id = check.id;
        if (!node.check_owner.emplace(id, owner).second) return false;
        checks.emplace(id, std::move(check));
    }
    return in.ok();
}

}  // namespace

std::string Catalog::encode_state() const {
    Encoder out;
    out(kFormatVersion);
    all(out,
        index_,
        nodes_index_,
        services_index_,
        checks_index_,
        service_extinction_,
        node_extinction_);
    out(local_ == nullptr ? std::string() : local_->row.name);
    out(std::uint64_t{nodes_.size()});
    for (const auto& [name, node] : nodes_) {
        out(node.row);
        out(node.index);
        encode_checks(out, node.checks);
        out(std::uint64_t{node.services.size()});
        for (const auto& [id, instance] : node.services) {
            out(instance.row);
            encode_checks(out, instance.checks);
        }
    }
    out(std::uint64_t{by_name_.size()});
    for (const auto& [name, service] : by_name_) {
        out(name);
        all(out, service.index, service.health_index);
    }
    kv_.save(out);
    out(acl_.save());
    out(queries_.save());
    sessions_.save(out);
    out(events_.save());
    return std::move(out).bytes();
}

Result<Catalog> Catalog::decode_state(std::string_view bytes) {
    Decoder in(bytes);
    Catalog c;
    std::string local;
    if (!in.read_version()) {
        return unreadable(
            fmt::format("version {}, this program knows 1 to {}", in.version(), kFormatVersion)
        );
    }
    all(in,
        c.index_,
        c.nodes_index_,
        c.services_index_,
        c.checks_index_,
        c.service_extinction_,
        c.node_extinction_,
        local);
    if (c.index_ > kIndexMax) return unreadable("its index is out of range");
    std::uint64_t left = 0;
    for (in(left); left > 0 && in.ok(); --left) {
        NodeRow row;
        in(row);
        const auto [at, is_new] = c.nodes_.try_emplace(row.name);
        if (!is_new) return unreadable("a node comes twice");
        CatalogNode& node = at->second;
        node.row = std::move(row);
        in(node.index);
        if (!decode_checks(in, node, {}, node.checks)) return unreadable("bad checks");
        std::uint64_t services = 0;
        for (in(services); services > 0 && in.ok(); --services) {
            ServiceRow service;
            in(service);
            if (service.id.empty()) return unreadable("a service without an id");
            const auto [place, fresh] = node.services.try_emplace(service.id);
            if (!fresh) return unreadable("a service comes twice");
            Instance& instance = place->second;
            instance.row = std::move(service);
            if (!decode_checks(in, node, instance.row.id, instance.checks)) {
                return unreadable("bad checks");
            }
            c.by_name_[instance.row.name].instances.insert_or_assign(
                {node.row.name, instance.row.id}, Placed{&node, &instance}
            );
            ++c.service_count_;
        }
        c.check_count_ += node.check_owner.size();
    }
    std::size_t indexed = 0;
    for (in(left); left > 0 && in.ok(); --left, ++indexed) {
        std::string name;
        in(name);
        const auto found = c.by_name_.find(name);
        if (found == c.by_name_.end()) return unreadable("an index of no service");
        all(in, found->second.index, found->second.health_index);
        found->second.changes = ChangeLog(found->second.health_index);
    }
    KvStore::State kv;
    all(in, kv.rows, kv.tombstones, kv.floor, kv.index);
    AclStore::State acl;
    QueryStore::State queries;
    in.since(2, acl, queries);
    SessionStore::State sessions;
    in.since(3, sessions.sessions, sessions.lock_delays, sessions.index);
    EventStore::State events;
    in.since(4, events);
    if (!in.ok()) return unreadable("it is cut short or damaged");
    if (!in.at_end()) return unreadable("bytes are left over");
    if (indexed != c.by_name_.size()) return unreadable("a service without an index");
    for (const SessionRow& session : sessions.sessions) {
        if (!c.nodes_.contains(session.node)) return unreadable("a session of no node");
    }
    if (!c.sessions_.restore(std::move(sessions), kv.rows)) {
        return unreadable("a lock without its session, or a session twice");
    }
    c.kv_.restore(std::move(kv));
    c.acl_.restore(std::move(acl));
    c.events_.restore(std::move(events));
    c.queries_.restore(std::move(queries));
    if (!local.empty()) {
        const auto found = c.nodes_.find(local);
        if (found == c.nodes_.end()) return unreadable("the local node is missing");
        c.local_ = &found->second;
        for (const std::string& id : c.local_checks()) {
            const CheckRow& check = *c.agent_check(id).check;
            if (check.definition.kind == CheckKind::alias) c.aliases_.add(check);
        }
        c.aliases_.forget_due();  // what they follow is as it was when they looked
    }
    return c;
}

Result<std::string> Catalog::node_of_state(std::string_view bytes) {
    auto state = decode_state(bytes);
    if (!state) return std::move(state).error();
    return state->local_ == nullptr ? std::string() : state->local_->row.name;
}

void Catalog::raise_to(std::uint64_t index) {
    index_ = nodes_index_ = services_index_ = checks_index_ = index;
    service_extinction_ = node_extinction_ = index;
    for (auto& [name, node] : nodes_) {
        node.index = node.row.index.modified = index;
        for (auto& [id, check] : node.checks) check.index.modified = index;
        for (auto& [id, instance] : node.services) {
            instance.row.index.modified = index;
            for (auto& [check_id, check] : instance.checks) check.index.modified = index;
        }
    }
    for (auto& [name, service] : by_name_) {
        service.index = service.health_index = index;
        service.changes = ChangeLog(index);
    }
    kv_.raise_to(index);
    sessions_.raise_to(index);
    acl_.raise_to(index);
    queries_.raise_to(index);
    events_.raise_to(index);
}

Result<> Refuse::operator()(const RestoreState& c) const {
    if (auto refused = need_local(); !refused) return refused;
    auto node = Catalog::node_of_state(c.state);
    if (!node) return std::move(node).error();
    if (*node == catalog.local_->row.name) return Ok{};
    return Error{
        .code = Code::invalid,
        .what = fmt::format(
            "the backup is of node \"{}\", this is node \"{}\"", *node, catalog.local_->row.name
        ),
        .source = Source::downstream
    };
}

void Apply::operator()(RestoreState& c) {
    auto state = Catalog::decode_state(c.state);
    if (!state) return;  // refused before
    const std::uint64_t index = std::max(catalog_.index_, state->index_) + 1;
    for (const std::string& id : catalog_.local_checks()) outcome_.local_checks.push_back(id);
    catalog_ = *std::move(state);
    // One less: apply() counts the step itself.
    catalog_.raise_to(index);
    catalog_.index_ = index - 1;
    for (const std::string& id : catalog_.local_checks()) outcome_.local_checks.push_back(id);
    outcome_.changed = outcome_.restored = true;
}

}  // namespace datapunk::mesh::catalog
