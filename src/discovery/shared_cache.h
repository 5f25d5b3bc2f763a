#pragma once

// SharedCache: the sets of endpoints that the processes of a site know together, in Redis. Who
// learns a set from the registry offers it; who cannot ask, or starts cold, fetches it.
//
//   key     <prefix>set:<service>    a hash: stamp (ms, Redis' clock), hash (of the content), set
//   channel <prefix>changed          "<writer> <hash> <service>": the content is another one now
//
// * Ages are measured by Redis' own clock, on both sides: those of the writers may differ and jump.
// * Of several writers the one whose knowledge is younger wins. An offer of what is there already
//   moves its stamp and sends nothing more; a new content waits a jittered moment first, so that of
//   a hundred who saw the same change one writes it.
// * Empty sets are not offered: what is kept here is for bad times.
// * Whatever is wrong (down, slow, full, flushed, garbage, wrong type) is a miss, a metric, and one
//   line of log when it begins and when it ends.
//
// One loop's object.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/log.h"
#include "core/rng.h"
#include "discovery/set_codec.h"
#include "io/loop.h"
#include "io/network.h"
#include "io/task.h"
#include "metrics/metric_registry.h"
#include "redis/redis_client.h"
#include "redis/redis_subscription.h"

namespace datapunk::mesh::discovery {

class SharedCache {
  public:
    // Another process has learned something else about the service: its content's hash.
    using OnNotice = std::function<void(std::string_view service, std::uint64_t hash)>;

    // `config` is checked and has a host. An error only if its CA cannot be read.
    static Result<std::unique_ptr<SharedCache>> create(
        io::Network& network,
        const SharedCacheConfig& config,
        metrics::MetricRegistry& metrics,
        core::Logger log
    );
    SharedCache(const SharedCache&) = delete;
    SharedCache& operator=(const SharedCache&) = delete;

    // Nothing: there is none, or Redis does not say so within the configured timeout.
    io::Task<std::optional<AgedSet>> fetch(std::string service);

    // To be written soon, if that is news. `learned_at` of the set is when it was confirmed.
    void offer(EndpointSetPtr set);

    void set_listener(OnNotice on_notice) { on_notice_ = std::move(on_notice); }

    bool is_up() const noexcept { return client_.is_up(); }

    // Counts the times that Redis may have lost what it had: offers are to be made anew.
    std::uint64_t epoch() const noexcept { return epoch_; }

  private:
    SharedCache(
        io::Network& network,
        const SharedCacheConfig& config,
        redis::RedisConfig redis,
        metrics::MetricRegistry& metrics,
        core::Logger log
    );

    io::Task<void> write_offers();
    io::Task<bool> write(EndpointSetPtr set);
    io::Task<Result<wire::resp::RespValue>> ask(
        std::string_view operation, std::vector<std::string> words
    );
    void count(std::string_view operation, std::string_view result);
    void note_problem(std::string_view operation, const std::string& what);
    void on_message(std::string_view message);

    io::Loop& loop_;
    SharedCacheConfig config_;
    metrics::MetricRegistry& metrics_;
    metrics::Gauge up_;
    metrics::Counter invalidations_;
    core::Logger log_;
    core::Rng rng_;
    std::string writer_;  // who we are, in notices
    std::uint64_t epoch_ = 0;
    bool has_problem_ = false;  // and said so
    OnNotice on_notice_;
    std::map<std::string, EndpointSetPtr, std::less<>> offers_;
    io::Event has_offers_;
    redis::RedisClient client_;
    redis::RedisSubscription subscription_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::discovery
