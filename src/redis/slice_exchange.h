#pragma once

// SliceExchange: leases what many processes share (resilience::LeasedSlice, LeasedWindow) from
// Redis. It asks by itself, ten times a second, for those that want something.
//
//   <prefix>slice:<name>       a hash: tokens, at (ms of Redis' clock)        a bucket
//                              a hash: slice numbers, width, held             a sliding window
//   <prefix>slice:<name>:who   a sorted set: processes by when they asked last
//   <prefix>slice:<name>:held  a hash: what each holds and has spent          of a window
//
//   exchange.add("retry:api_service", slice);        once
//   … slice->try_take() on any thread …
//
// * One script and one round trip an exchange; those of all slices in one write. Time is Redis'
//   own. Of what is there a process gets at most its fair share twice over, so that who asks first
//   does not get it all.
// * What is no longer wanted, or that nobody else holds, is asked for no more: what it has in hand
//   is returned, once, and it is forgotten.
// * A bucket that was lost (flushed, another Redis) begins full: everybody together may then take
//   one burst more, once. A window that was lost is told anew what has begun.
// * Redis down, slow or full of garbage: slices fill themselves (LeasedSlice::failed), and of
//   windows each has its part, from the next exchange on; nobody waits, one line of log says so,
//   and another when it is over.
//
// One loop's object, but for what is leased, which any thread takes from.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/log.h"
#include "io/network.h"
#include "io/task.h"
#include "redis/redis_client.h"
#include "resilience/leased.h"

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

    // `name`: the same in all processes, and of one kind. In the place of an older one of that
    // name.
    void add(const std::string& name, resilience::Leased leased);

    const Stats& stats() const noexcept { return stats_; }

    // The last exchange did not work: slices fill themselves.
    bool has_problem() const noexcept { return has_problem_; }

  private:
    using Granted = std::pair<std::int64_t, std::int64_t>;  // tokens, processes

    struct Entry {
        resilience::Leased leased{};
        bool is_asking = false;
    };

    SliceExchange(io::Network& network, RedisConfig config, std::string prefix, core::Logger log);

    io::Task<void> run();
    void turn();
    void release_unwanted();
    void ask(const std::string& name, Entry& entry);
    void ask_to_return(const std::string& name, const resilience::Leased& leased);
    io::Task<void> exchange(
        std::string name,
        std::shared_ptr<resilience::LeasedSlice> slice,
        resilience::LeasedSlice::Ask asked
    );
    io::Task<void> exchange_window(
        std::string name,
        std::shared_ptr<resilience::LeasedWindow> window,
        resilience::LeasedWindow::Ask asked
    );
    io::Task<std::optional<Granted>> call(std::vector<std::string> words, std::int64_t wanted);
    // `got`: nothing if it failed.
    void end_exchange(
        const std::string& name, const resilience::Leased& leased, const std::optional<Granted>& got
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
    std::vector<std::pair<std::string, resilience::Leased>> replaced_;  // to be returned
    std::unique_ptr<RedisClient> client_;                               // since the first slice
    io::TaskGroup tasks_;                                               // last: destroyed first
};

}  // namespace datapunk::mesh::redis
