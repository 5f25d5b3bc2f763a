#pragma once

// SessionTimers: what time does to sessions and lock delays. A session with a TTL that nobody
// renews is destroyed; a lock delay that is over is ended. Both happen through the log.
//
//     renew() ── before the deadline ──> true: a new deadline, nothing to log
//         └── expiry on its way ───────> false: log the renewal, it finds out which came first
//     due(now) ──> commands to log and apply, and when to ask again
//     sync()   <── what every apply() says of sessions and lock delays
//
// A TTL is a lower bound: the session lives for twice the TTL since its creation or last renewal,
// as in Consul (session_ttl.go), so that a client which renews every TTL survives a lost request,
// a restart of ours, and a clock that runs faster here than there.
//
// Deadlines are monotonic time, and only time in which this process could hear a renewal counts:
// a restart begins every TTL and lock delay anew (restart()), and time in which the process or the
// machine stood still (due() comes more than kStall late) moves every deadline, with at least
// kStallGrace to let the renewals in. Lock delays only ever last longer by that.
//
// Not thread-safe. O(log n) each; a standstill costs O(n).

#include <datapunk/mesh/time.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/timers.h"

namespace datapunk::mesh::catalog {

class SessionTimers {
  public:
    static constexpr int kTtlFactor = 2;
    static constexpr Duration kTick = std::chrono::seconds(1);  // how soon a standstill is noticed
    static constexpr Duration kStall = CheckTimers::kStall;
    static constexpr Duration kStallGrace = CheckTimers::kStallGrace;
    static constexpr Duration kRetry = CheckTimers::kRetry;

    using Due = CheckTimers::Due;

    // After the log was replayed: every deadline starts over.
    void restart(const Catalog& catalog, Instant now);
    void sync(const Catalog& catalog, const Applied& applied, Instant now);
    // For a session that exists (Catalog::check() said so).
    bool renew(std::string_view session_id, Instant now);
    Due due(Instant now);

  private:
    struct Session {
        Duration lifetime = Duration::zero();
        Instant deadline = kNever;
        bool is_expiring = false;  // its end is on the way to the log
    };

    void start_session(const SessionRow& session, Instant now);
    void start_delay(const std::string& key, Duration delay, Instant now);
    void notice_standstill(Instant now);

    std::map<std::string, Session, std::less<>> sessions_;  // those with a TTL
    std::set<std::pair<Instant, std::string>> expiries_;
    std::map<std::string, Instant, std::less<>> delays_;
    std::set<std::pair<Instant, std::string>> delay_ends_;
    Instant looked_ = kNever;  // when due() was last asked
};

}  // namespace datapunk::mesh::catalog
