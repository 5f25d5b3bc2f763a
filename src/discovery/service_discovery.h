#pragma once

// ServiceDiscovery: asks a registry for services, remembers the answers, follows those that are
// watched, and keeps serving the last good set for as long as the registry is away.
//
// * One question at a time about one service, whoever asks: callers share it, and all watches of a
//   service are fed by one blocking query. It goes on for `linger` after the last watch.
// * Watchers hear of real changes only; the differences are those to what each heard last. They are
//   called one by one, later in the turn; one that throws is counted and hurts nobody.
// * Indexes: one that goes backwards starts over from 0. After failures: exponential backoff with
//   full jitter, no sooner than the registry asks for (Error::retry_after), then everything is
//   read anew.
// * Removals that look wrong are confirmed by a second answer first: removal_hold.h.
//
// One loop's object (the control loop): everything, Watch::stop() included, on its thread. It must
// outlive the tasks of discover(); watches may outlive it. Cost: a hit is one lookup by name.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/result.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/hash.h"
#include "core/log.h"
#include "discovery/discovery_stats.h"
#include "discovery/followed_service.h"
#include "discovery/snapshot.h"
#include "io/loop.h"
#include "io/task.h"
#include "registry/backend.h"

namespace datapunk::mesh::discovery {

class ServiceDiscovery {
  public:
    // `config` is checked already. `backend` must outlive it.
    ServiceDiscovery(
        io::Loop& loop,
        registry::Backend& backend,
        const ServiceDiscoveryConfig& config,
        core::Logger log
    );

    ~ServiceDiscovery();

    // Second and third level, before anything is asked. The cache must outlive this; the snapshot
    // is config.snapshot_file in `files`, read now and written from now on.
    void use(SharedCache& shared);
    void use_snapshot(io::Files& files, SnapshotWriter::Where where);

    // The service's endpoints; an empty set if it has none. With `use_cache`, from what is known if
    // that is fresh enough, and in any case if the registry fails. Without, the registry's word
    // (asked at most one round trip ago) or its error. Errors otherwise: invalid (no such name is
    // possible), timeout, exhausted (services_max), or the registry's.
    io::Task<Result<EndpointSetPtr>> discover(std::string name, bool use_cache, Instant deadline);

    // Calls back with all there is as soon as it is known (also if that is nothing), then with
    // every change. Never from inside this call.
    Result<Watch> watch(std::string name, ChangeCallback callback);

    // The last good set, or null; asks nobody.
    EndpointSetPtr known(std::string_view name) const;

    // Whether anybody has asked about it here, so that there may be an answer that is old.
    bool knows(std::string_view name) const { return services_.find(name) != services_.end(); }

    // Somebody else has found out that the registry answers again: what waits to try again does so
    // now, one service after the other.
    void note_registry_is_back() { context_.call_back(); }

    // The next question about it need not keep the pace: we have changed it ourselves.
    void hurry(std::string_view name);
    // The next discover() asks; a watched service is read again now.
    void invalidate(std::string_view name);
    // We took this endpoint out of the registry ourselves: its removal needs no confirmation.
    void note_deregistered(std::string_view name, std::string id);

    DiscoveryStats stats() const;

    Instant now() const noexcept { return context_.loop.now(); }

    // Every service that something is known about, as a cache gives it.
    using Visitor = std::function<void(const EndpointSet&)>;
    void for_each_known(const Visitor& visit) const;
    // The same without the endpoints, which costs nothing.
    using StatusVisitor = std::function<void(const SetStatus&)>;
    void for_each_status(const StatusVisitor& visit) const;

  private:
    struct NameHash {
        using is_transparent = void;

        std::size_t operator()(std::string_view name) const noexcept {
            return core::hash64(name, seed);
        }

        std::uint64_t seed = 0;  // names may be a stranger's
    };

    struct Sweep : io::Timer {
        explicit Sweep(ServiceDiscovery& owner) noexcept
            : Timer(&Sweep::on_fire), discovery(owner) {}

        static void on_fire(io::Timer& timer) { static_cast<Sweep&>(timer).discovery.sweep(); }

        ServiceDiscovery& discovery;
    };

    struct SaveDue : io::Timer {
        explicit SaveDue(ServiceDiscovery& owner) noexcept
            : Timer(&SaveDue::on_fire), discovery(owner) {}

        static void on_fire(io::Timer& timer) { static_cast<SaveDue&>(timer).discovery.save(); }

        ServiceDiscovery& discovery;
    };

    void load_snapshot(io::Files& files);
    // What is forgotten here.
    void keep_on_disk(const std::string& name, const FollowedService& one);
    void save_soon();
    void save();
    void on_saved(const Result<>& written);
    Result<std::shared_ptr<FollowedService>> service(std::string name);
    bool make_room();
    void sweep();

    DiscoveryContext context_;
    std::unordered_map<std::string, std::shared_ptr<FollowedService>, NameHash, std::equal_to<>>
        services_;
    Sweep sweep_{*this};
    std::unique_ptr<SnapshotWriter> snapshot_writer_;
    SaveDue save_due_{*this};
    bool has_news_ = false;  // that is not on the disk
    bool is_save_failing_ = false;
};

}  // namespace datapunk::mesh::discovery
