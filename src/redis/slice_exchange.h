#pragma once

// SliceExchange: leases slices of tokens that many processes share (resilience::LeasedSlice) from
// buckets in Redis. It asks by itself, ten times a second, for slices that want something.
//
//   <prefix>slice:<name>       a hash: tokens, at (ms of Redis' clock)    the bucket
//   <prefix>slice:<name>:who   a sorted set: processes by when they asked last
//
//   exchange.add("retry:api_service", slice);        once; forgotten when the slice is gone
//   … slice->try_take() on any thread …
//
// * One script and one round trip an exchange; those of all slices in one write. Time is Redis'
//   own. Of what is there a process gets at most its fair share twice over, so that who asks first
//   does not get it all.
// * A bucket that was lost (flushed, another Redis) begins full: everybody together may then take
//   one burst more, once.
// * Redis down, slow or full of garbage: the slices fill themselves (LeasedSlice::failed) from the
//   next exchange on; nobody waits, one line of log says so, and another when it is over.
//
// One loop's object, but for the slices, which any thread takes from.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/log.h"
#include "io/network.h"
#include "io/task.h"
#include "redis/redis_client.h"
#include "resilience/leased_slice.h"

namespace datapunk::mesh::redis {

class SliceExchange {
  public:
    struct Stats {
        std::uint64_t answered = 0;  // exchanges
        std::uint64_t failed = 0;    // not sent, not answered in time, or not as it should be
        std::uint64_t late = 0;      // of those: sent, and not answered in time
        std::uint64_t granted = 0;   // tokens
    };

    // `config` is checked and has a host. An error only if its CA cannot be read. Connects when the
    // first slice is added.
    static Result<std::unique_ptr<SliceExchange>> create(
        io::Network& network, const SharedCacheConfig& config, core::Logger log
    );
    SliceExchange(const SliceExchange&) = delete;
    SliceExchange& operator=(const SliceExchange&) = delete;

    // `name`: of the bucket, the same in all processes. In the place of an older slice of it.
    void add(const std::string& name, std::weak_ptr<resilience::LeasedSlice> slice);

    const Stats& stats() const noexcept { return stats_; }

    // The last exchange did not work: slices fill themselves.
    bool has_problem() const noexcept { return has_problem_; }

  private:
    struct Entry {
        std::weak_ptr<resilience::LeasedSlice> slice;
        bool is_asking = false;
    };

    SliceExchange(io::Network& network, RedisConfig config, std::string prefix, core::Logger log);

    io::Task<void> run();
    void turn();
    io::Task<void> exchange(
        std::string name,
        std::shared_ptr<resilience::LeasedSlice> slice,
        resilience::LeasedSlice::Ask asked
    );
    void note_failure(std::string_view what);

    io::Network& network_;
    io::Loop& loop_;
    const RedisConfig redis_;
    const std::string prefix_;
    const std::string process_;  // who we are, among those that ask
    core::Logger log_;
    Stats stats_;
    bool has_problem_ = false;  // and said so
    std::map<std::string, Entry, std::less<>> entries_;
    std::unique_ptr<RedisClient> client_;  // since the first slice
    io::TaskGroup tasks_;                  // last: destroyed first
};

}  // namespace datapunk::mesh::redis
