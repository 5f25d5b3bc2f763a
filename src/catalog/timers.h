#pragma once

// CheckTimers: what time does to the local node's checks. TTL checks that nobody renews turn
// critical, services critical for longer than their deregister_after go, and output that changed
// without a change of status reaches the catalog after five minutes (Consul's
// check_update_interval), so that a heartbeat costs no write to the log.
//
//     report() ── status flips ──> true: log and apply the UpdateCheck
//         └────── same status ───> false: deadline renewed, output kept here (the agent's view)
//     due(now) ──> commands to log and apply, and when to ask again
//     sync()   <── Applied::local_checks of every apply()
//
// All of it is runtime state in monotonic time. A restart begins every TTL and every critical
// period anew (restart()): nobody could report while we were down, and wall clocks jump. For the
// same reason a TTL whose expiry is noticed more than kStall late, because this process or machine
// stood still, gets kStallGrace once to let the reports in.
//
// Not thread-safe. O(log checks) each.

#include <datapunk/mesh/time.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/command.h"

namespace datapunk::mesh::catalog {

class CheckTimers {
  public:
    static constexpr Duration kOutputPush = std::chrono::minutes(5);  // as Consul
    static constexpr Duration kRetry = std::chrono::seconds(1);  // if a command could not be logged
    static constexpr Duration kStall = std::chrono::seconds(1);  // far above any loop turn
    static constexpr Duration kStallGrace = std::chrono::seconds(5);

    struct Due {
        std::vector<Command> commands;
        Instant next = kNever;
    };

    // After the log was replayed: every check of the local node starts over.
    void restart(const Catalog& catalog, Instant now);
    void sync(const Catalog& catalog, const std::vector<std::string>& local_checks, Instant now);
    // A result for a check that exists (Catalog::check() said so). True = must be logged.
    bool report(const Catalog& catalog, const UpdateCheck& result, Instant now);
    Due due(const Catalog& catalog, Instant now);
    // What /agent/checks shows; the catalog's row may have older text. Empty if unknown.
    std::string_view output(const Catalog& catalog, std::string_view check_id) const;

  private:
    struct Timer {
        Duration ttl = Duration::zero();
        Health status = Health::passing;
        Instant ttl_at = kNever;
        bool postponed = false;  // has had its kStallGrace
        std::optional<Instant> critical_since;
        Instant reap_at = kNever;
        std::optional<std::string> output;  // newer than the catalog's
        Instant push_at = kNever;

        Instant wake() const { return std::min({ttl_at, reap_at, push_at}); }
    };
    using Timers = std::map<std::string, Timer, std::less<>>;

    void fire(const Catalog& catalog, Timers::iterator at, Instant now, Due& due);
    void expire(Timer& timer, const CheckRow& check, Instant now, Due& due);

    // Runs `change` on the timer and puts it where it now belongs in the queue.
    template <class Change>
    void update(Timers::iterator at, Change change) {
        queue_.erase({at->second.wake(), at->first});
        change(at->second);
        if (at->second.wake() != kNever) queue_.emplace(at->second.wake(), at->first);
    }

    Timers timers_;
    std::set<std::pair<Instant, std::string>> queue_;
};

}  // namespace datapunk::mesh::catalog
