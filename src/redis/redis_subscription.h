#pragma once

// RedisSubscription: hears what is published on some channels, over a connection of its own, which
// it makes anew whenever it breaks. What is published while there is none is lost: Redis keeps
// nothing. So `on_subscribed` says when listening begins, the first time and every time after.
//
// One loop's object. The callbacks are called from its task, and must not destroy it.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "core/rng.h"
#include "io/network.h"
#include "io/task.h"
#include "redis/redis_config.h"
#include "wire/resp/value.h"

namespace datapunk::mesh::redis {

class RedisSubscription {
  public:
    struct Listener {
        std::function<void(std::string_view channel, std::string_view message)> on_message;
        std::function<void()> on_subscribed{};
    };

    // `config` is checked; at least one channel.
    RedisSubscription(
        io::Network& network,
        RedisConfig config,
        std::vector<std::string> channels,
        Listener listener,
        core::Logger log
    );
    RedisSubscription(const RedisSubscription&) = delete;
    RedisSubscription& operator=(const RedisSubscription&) = delete;

    bool is_listening() const noexcept { return is_listening_; }

  private:
    io::Task<void> run();
    io::Task<Error> listen();
    Result<> on_value(const wire::resp::RespValue& value);

    io::Network& network_;
    io::Loop& loop_;
    RedisConfig config_;
    std::vector<std::string> channels_;
    Listener listener_;
    core::Logger log_;
    core::Rng rng_;
    std::size_t confirmed_ = 0;  // channels
    bool is_listening_ = false;
    bool was_told_ = false;
    std::uint32_t failures_ = 0;
    io::StreamPtr stream_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::redis
