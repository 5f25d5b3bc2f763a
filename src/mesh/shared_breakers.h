#pragma once

// SharedBreakers: what breakers of one process have found, told to the others through Redis. Who
// hears that an endpoint's breaker opened elsewhere does not believe it but probes: its own breaker
// becomes half-open (CircuitBreaker::distrust). A false word so costs a few probes, never an
// outage.
//
//   breaker opens ── tick ──► <prefix>breakers:<service>, a sorted set:
//                             "<process> <endpoint>" by the instant when it is over (Redis' clock)
//   tick of another ◄──────── what others say there and this process has not heard yet
//
// * Once a second and service one step in Redis: tell, drop what is over, ask. Never more than one
//   under way for a service.
// * Everything expires with the breaker that was told; at most kToldMax reports a service, of which
//   those that end first give way.
// * Redis down, slow or full of garbage: nothing is heard, and what is to be told waits until it is
//   over. No call ever waits: all this is on the control loop.
//
// Whoever may write to Redis may cause probes, and nothing else. One loop's object.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/log.h"
#include "io/network.h"
#include "io/task.h"
#include "policy/service_policies.h"
#include "redis/redis_client.h"

namespace datapunk::mesh::internal {

class SharedBreakers {
  public:
    static constexpr std::size_t kToldMax = 1000;  // endpoints that fail at a time, of one service

    // `config` is checked and has a host. An error only if its CA cannot be read. Connects when a
    // service first shares.
    static Result<std::unique_ptr<SharedBreakers>> create(
        io::Network& network, const SharedCacheConfig& config, core::Logger log
    );
    SharedBreakers(const SharedBreakers&) = delete;
    SharedBreakers& operator=(const SharedBreakers&) = delete;

    // About once a second, with every service; those without share_breakers are left alone. They
    // must outlive this object.
    void tick(std::span<policy::ServicePolicies* const> services);

  private:
    struct Shared {
        std::map<std::string, Instant> to_tell;    // endpoint: when it is over
        std::map<std::string, std::string> heard;  // report: until when, in Redis' words
        bool is_asking = false;
    };

    SharedBreakers(
        io::Network& network, redis::RedisConfig config, std::string prefix, core::Logger log
    );

    io::Task<void> exchange(policy::ServicePolicies* service);
    void hear(
        policy::ServicePolicies& service,
        const std::vector<std::pair<std::string, std::string>>& reports
    );
    void note_problem(std::string_view what);

    io::Network& network_;
    io::Loop& loop_;
    const redis::RedisConfig redis_;
    const std::string prefix_;
    const std::string process_;  // who we are, among those that tell
    core::Logger log_;
    bool has_problem_ = false;  // and said so
    std::map<std::string, Shared, std::less<>> services_;
    std::optional<redis::RedisClient> client_;  // since the first service that shares
    io::TaskGroup tasks_;                       // last: destroyed first
};

}  // namespace datapunk::mesh::internal
