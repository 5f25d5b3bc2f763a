#include "server/delta.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "core/hash.h"
#include "registry/delta_protocol.h"
#include "server/filter/filter_rows.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

// Of this run, of what the parameters select, and of what the caller may see: as long as no token
// and no policy changes, the rights of one token stay.
std::string token_of(const Context& context, const Call& call, const HealthView& view) {
    const std::uint64_t run = context.digests->seed();
    // Who may everything sees the same as all who may, whatever becomes of other tokens.
    const std::string rights =
        call.access.may_everything()
            ? std::string("all")
            : fmt::format(
                  "{} {}:{}", context.catalog().acl().index(), call.secret.size(), call.secret
              );
    const std::string scope = rights + view.name;
    return fmt::format("{:016x}-{:016x}", run, core::hash64(scope, ~run));
}

bool wants_delta(const Call& call) {
    return !call.is_pretty && !call.request.header(registry::kDeltaHeader).empty();
}

// What of an instance depends on who asks for what.
class Sight {
  public:
    Sight(const Call& call, const ReadOptions& options, const catalog::ServiceFilter& filter)
        : options_(options), filter_(filter), visible_(call) {}

    bool may_see(std::string_view node, std::string_view service) {
        // Both are asked, as VisibleTo::instance() does.
        return visible_.may(Resource::node, node) && visible_.may(Resource::service, service);
    }

    bool matches(const catalog::InstanceRef& ref, std::string_view datacenter) const {
        const InstanceView view{ref, datacenter};
        return catalog::Catalog::matches(ref, filter_) && options_.accepts(&view);
    }

    bool is_wide() const {
        return filter_.tags.empty() && !filter_.passing_only && filter_.node_meta.empty() &&
               !options_.filter;
    }

    const VisibleTo& visible() const noexcept { return visible_; }

  private:
    const ReadOptions& options_;
    const catalog::ServiceFilter& filter_;
    VisibleTo visible_;
};

struct Total {
    std::uint64_t count = 0;
    std::uint64_t digest = 0;
};

Total total_of(const Context& context, const Call& call, Sight& sight) {
    const catalog::Catalog& catalog = context.catalog();
    const std::string& datacenter = context.config->datacenter;
    const auto& digests = context.digests->of(catalog, call.name, datacenter);
    if (sight.is_wide() && call.access.may_everything()) {
        return {.count = catalog.instances_of(call.name), .digest = digests.sum()};
    }
    Total total;
    for (const catalog::InstanceRef& ref : catalog.health_service(call.name).data) {
        if (!sight.matches(ref, datacenter)) continue;
        if (!sight.may_see(ref.node->row.name, ref.instance->row.name)) continue;
        ++total.count;
        total.digest += digests.of(ref);
    }
    return total;
}

void write_removed(JsonWriter& json, std::string_view node, std::string_view id) {
    json.begin_object().key("Node").string(node).key("ID").string(id).end_object();
}

std::string encode_delta(
    const Context& context, const Call& call, const catalog::ServiceChanges& changes, Sight& sight
) {
    const std::string& datacenter = context.config->datacenter;
    std::string out;
    JsonWriter json(out);
    json.begin_object().key("Changed").begin_array();
    std::vector<const catalog::InstanceRef*> left;  // what the filter shows no longer, or never did
    for (const catalog::InstanceRef& ref : changes.changed) {
        // Rights hang on names, which stay: who may not see it now has never seen it.
        if (!sight.may_see(ref.node->row.name, ref.instance->row.name)) continue;
        if (sight.matches(ref, datacenter)) {
            write_health(json, ref, datacenter);
        } else {
            left.push_back(&ref);
        }
    }
    json.end_array().key("Removed").begin_array();
    for (const catalog::InstanceRef* ref : left) {
        write_removed(json, ref->node->row.name, ref->instance->row.id);
    }
    for (const auto& [node, id] : changes.gone) {
        if (sight.may_see(node, call.name)) write_removed(json, node, id);
    }
    const Total total = total_of(context, call, sight);
    json.end_array().key("Count").number(total.count);
    json.key("Digest").string(fmt::format("{:016x}", total.digest)).end_object();
    return out;
}

}  // namespace

std::uint64_t InstanceDigests::Service::key(std::string_view node, std::string_view id) const {
    return core::hash64(id, core::hash64(node, seed_));
}

std::uint64_t InstanceDigests::Service::of(const catalog::InstanceRef& ref) const {
    const auto found = fingerprints_.find(key(ref.node->row.name, ref.instance->row.id));
    return found == fingerprints_.end() ? 0 : found->second;
}

void InstanceDigests::Service::put(const catalog::InstanceRef& ref, std::string_view datacenter) {
    buffer_.clear();
    JsonWriter json(buffer_);
    write_health(json, ref, datacenter);
    std::uint64_t& stored = fingerprints_[key(ref.node->row.name, ref.instance->row.id)];
    sum_ -= stored;
    stored = core::hash64(buffer_, seed_);
    sum_ += stored;
}

void InstanceDigests::Service::forget(std::string_view node, std::string_view id) {
    const auto found = fingerprints_.find(key(node, id));
    if (found == fingerprints_.end()) return;
    sum_ -= found->second;
    fingerprints_.erase(found);
}

const InstanceDigests::Service& InstanceDigests::of(
    const catalog::Catalog& catalog, const std::string& name, std::string_view datacenter
) {
    if (!services_.contains(name)) {
        // Those that have gone since, or shrunk, are not asked for again.
        std::erase_if(services_, [&](const auto& kept) {
            return catalog.instances_of(kept.first) < registry::kDeltaInstancesMin;
        });
    }
    Service& service = services_[name];
    const std::uint64_t index = catalog.index_of({catalog::WatchTopic::health_service, name});
    const std::uint64_t notes = catalog.notes_of(name);
    if (service.index_ == index && service.notes_ == notes) return service;
    auto changes = catalog.health_changes(name, service.index_);
    if (service.index_ == 0 || !changes) {
        service = Service();
        service.seed_ = seed_;
        changes = catalog::ServiceChanges{.changed = catalog.health_service(name).data, .gone = {}};
    }
    for (const catalog::InstanceRef& ref : changes->changed) service.put(ref, datacenter);
    for (const auto& [node, id] : changes->gone) service.forget(node, id);
    service.index_ = index;
    service.notes_ = notes;
    return service;
}

std::optional<http::Response> delta_answer(
    const Context& context, const Call& call, const ReadOptions& options, const HealthView& view
) {
    if (!wants_delta(call) || options.index == 0) return std::nullopt;
    const std::string token = token_of(context, call, view);
    if (call.request.header(registry::kDeltaHeader) != token) return std::nullopt;
    const std::size_t instances = context.catalog().instances_of(call.name);
    if (instances < registry::kDeltaInstancesMin) return std::nullopt;
    const auto changes = context.catalog().health_changes(call.name, options.index);
    if (!changes || changes->changed.size() + changes->gone.size() > instances / 2) {
        return std::nullopt;
    }
    Sight sight(call, options, view.filter);
    const auto encode = [&] { return encode_delta(context, call, *changes, sight); };
    // What depends on who asks is not shared; "nothing new" is made as fast as found.
    const bool is_shared = call.access.may_everything() && view.index != options.index;
    http::Response response;
    if (is_shared) {
        const std::string name = fmt::format("delta\n{}\n{}", options.index, view.name);
        response = shared_answer(context, name, view.index, options, encode);
    } else {
        response = http::json_response(200, encode());
        add_index(response, view.index, options);
        sight.visible().tell(response);
    }
    response.headers.push_back({"Vary", std::string(registry::kDeltaHeader)});
    response.headers.push_back({std::string(registry::kDeltaHeader), token});
    response.headers.push_back(
        {std::string(registry::kDeltaSinceHeader), fmt::format("{}", options.index)}
    );
    return response;
}

void offer_delta(
    const Context& context, const Call& call, const HealthView& view, http::Response& whole
) {
    if (!wants_delta(call)) return;
    if (context.catalog().instances_of(call.name) < registry::kDeltaInstancesMin) return;
    whole.headers.push_back({"Vary", std::string(registry::kDeltaHeader)});
    whole.headers.push_back({std::string(registry::kDeltaHeader), token_of(context, call, view)});
}

}  // namespace datapunk::mesh::server
