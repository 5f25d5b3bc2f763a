#include "discovery/service_discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "discovery/shared_cache.h"

namespace datapunk::mesh::discovery {

namespace {

// A registry may know names that we would not register ("Web", "a.b"); they are looked up all the
// same. DNS allows no longer ones.
constexpr std::size_t kNameBytesMax = 253;
constexpr Duration kSweepEvery = std::chrono::seconds(30);

Result<> check_lookup_name(std::string_view name) {
    const bool is_printable = std::none_of(name.begin(), name.end(), [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
    });
    if (!name.empty() && name.size() <= kNameBytesMax && is_printable) return Ok{};
    return Error{
        .code = Code::invalid,
        .what = fmt::format(
            "a service name has 1 to {} printable bytes, this one has {}",
            kNameBytesMax,
            name.size()
        )
    };
}

}  // namespace

ServiceDiscovery::ServiceDiscovery(
    io::Loop& loop,
    registry::Backend& backend,
    const ServiceDiscoveryConfig& config,
    core::Logger log
)
    : context_{
          .loop = loop,
          .backend = backend,
          .config = config,
          .log = std::move(log),
          .rng = loop.rng().fork(),
          .stats = {},
          .services = 0,
          .snapshot = {},
          .snapshot_read = {},
          .is_back = io::Event(loop)
      },
      services_(16, NameHash{loop.rng()()}) {}

Result<std::shared_ptr<FollowedService>> ServiceDiscovery::service(std::string name) {
    const auto found = services_.find(name);
    if (found != services_.end()) return found->second;
    if (auto verdict = check_lookup_name(name); !verdict) return verdict.error();
    if (services_.size() >= context_.config.services_max && !make_room()) {
        ++context_.stats.refused;
        return Error{
            .code = Code::exhausted,
            .what = fmt::format(
                "cannot look up {}: {} services are in use already (services_max)",
                name,
                services_.size()
            )
        };
    }
    if (!sweep_.is_armed()) context_.loop.timers().arm(sweep_, context_.loop.now() + kSweepEvery);
    auto made = std::make_shared<FollowedService>(context_, name);
    services_.emplace(std::move(name), made);
    context_.services = services_.size();
    return made;
}

bool ServiceDiscovery::make_room() {
    auto oldest = services_.end();
    for (auto at = services_.begin(); at != services_.end(); ++at) {
        if (!at->second->is_idle()) continue;
        if (oldest == services_.end() || at->second->last_used() < oldest->second->last_used()) {
            oldest = at;
        }
    }
    if (oldest == services_.end()) return false;
    services_.erase(oldest);
    return true;
}

void ServiceDiscovery::sweep() {
    const Instant now = context_.loop.now();
    // While the registry is away, what we know cannot be had again.
    if (context_.stats.registry_up) {
        std::erase_if(services_, [&](const auto& entry) {
            const FollowedService& one = *entry.second;
            const bool goes = one.is_idle() && now - one.last_used() >= context_.config.idle_ttl;
            if (goes) keep_on_disk(entry.first, one);
            return goes;
        });
        context_.services = services_.size();
    }
    if (!services_.empty()) context_.loop.timers().arm(sweep_, now + kSweepEvery);
}

io::Task<Result<EndpointSetPtr>> ServiceDiscovery::discover(
    std::string name, bool use_cache, Instant deadline
) {
    auto found = service(std::move(name));
    if (!found) co_return std::move(found).error();
    const std::shared_ptr<FollowedService> one = *found;  // stays, whatever happens meanwhile
    auto set = co_await one->ask(use_cache, deadline);
    co_return std::move(set);
}

Result<Watch> ServiceDiscovery::watch(std::string name, ChangeCallback callback) {
    auto found = service(std::move(name));
    if (!found) return std::move(found).error();
    return (*found)->watch(std::move(callback));
}

EndpointSetPtr ServiceDiscovery::known(std::string_view name) const {
    const auto found = services_.find(name);
    return found == services_.end() ? nullptr : found->second->from_cache();
}

void ServiceDiscovery::invalidate(std::string_view name) {
    const auto found = services_.find(name);
    if (found != services_.end()) found->second->refresh();
}

void ServiceDiscovery::hurry(std::string_view name) {
    const auto found = services_.find(name);
    if (found != services_.end()) found->second->hurry();
}

void ServiceDiscovery::note_deregistered(std::string_view name, std::string id) {
    const auto found = services_.find(name);
    if (found != services_.end()) found->second->expect_removal(std::move(id));
}

void ServiceDiscovery::use(SharedCache& shared) {
    context_.shared = &shared;
    shared.set_listener([this](std::string_view name, std::uint64_t hash) {
        const auto found = services_.find(name);
        if (found != services_.end()) found->second->on_notice(hash);
    });
}

void ServiceDiscovery::for_each_known(const Visitor& visit) const {
    for (const auto& [name, one] : services_) {
        if (const EndpointSetPtr set = one->from_cache()) visit(*set);
    }
}

void ServiceDiscovery::for_each_status(const StatusVisitor& visit) const {
    for (const auto& [name, one] : services_) {
        if (const auto status = one->status()) visit(*status);
    }
}

DiscoveryStats ServiceDiscovery::stats() const {
    DiscoveryStats stats = context_.stats;
    stats.services = services_.size();
    stats.watched = static_cast<std::size_t>(std::count_if(
        services_.begin(),
        services_.end(),
        [](const auto& entry) { return entry.second->is_watched(); }
    ));
    stats.failing = static_cast<std::size_t>(std::count_if(
        services_.begin(),
        services_.end(),
        [](const auto& entry) { return entry.second->is_watched() && entry.second->is_failing(); }
    ));
    return stats;
}

}  // namespace datapunk::mesh::discovery
