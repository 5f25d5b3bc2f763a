#include "redis/slice_exchange.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <vector>

namespace datapunk::mesh::redis {

namespace {

using resilience::LeasedSlice;
using std::chrono::milliseconds;

// Longer than Redis ever takes. Nobody waits for it: what comes later than the next exchange is
// counted against what was filled in meanwhile.
constexpr Duration kTimeout = milliseconds(500);
// Who has not asked for so long does not share any more.
constexpr int kProcessMs = 10'000;

// KEYS: the bucket, who asked. ARGV: rate a second, burst, wanted, returned, process, ms until one
// is forgotten. Answers what is granted, and how many processes share. A new bucket is full; time
// that went backwards (another Redis) has not passed. TIME in a script that writes needs Redis 5.
constexpr std::string_view kScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local seen = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(seen[1]), tonumber(seen[2])
if tokens == nil or at == nil then tokens, at = burst, now end
tokens = tokens + math.max(0, now - at) / 1000 * rate + tonumber(ARGV[4])
tokens = math.max(0, math.min(burst, tokens))
redis.call('ZADD', KEYS[2], now, ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[6]))
local who = redis.call('ZCARD', KEYS[2])
local share = math.max(1, math.floor(tokens * 2 / who))
local granted = math.min(tonumber(ARGV[3]), share, math.floor(tokens))
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens - granted), 'at', now)
local keep = math.ceil(burst / math.max(rate, 1e-9)) * 1000 + 60000
redis.call('PEXPIRE', KEYS[1], math.min(keep, 2592000000))
redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[6]))
return {granted, who})";

}  // namespace

Result<std::unique_ptr<SliceExchange>> SliceExchange::create(
    io::Network& network, const SharedCacheConfig& config, core::Logger log
) {
    auto redis = config_of(config, {.bytes_max = 64UL << 10U, .items_max = 64});
    if (!redis) return std::move(redis).error();
    return std::unique_ptr<SliceExchange>(
        new SliceExchange(network, *std::move(redis), config.prefix, std::move(log))
    );
}

SliceExchange::SliceExchange(
    io::Network& network, RedisConfig config, std::string prefix, core::Logger log
)
    : network_(network),
      loop_(network.loop()),
      redis_(std::move(config)),
      prefix_(std::move(prefix)),
      process_(fmt::format("{:016x}", loop_.rng()())),
      log_(std::move(log)) {}

void SliceExchange::add(const std::string& name, std::weak_ptr<LeasedSlice> slice) {
    entries_[name].slice = std::move(slice);  // an exchange that is under way keeps its own
    if (client_ != nullptr) return;
    client_ = std::make_unique<RedisClient>(network_, redis_, log_);
    tasks_.spawn(run());
}

io::Task<void> SliceExchange::run() {
    for (;;) {
        turn();
        // Jittered: processes in step would ask in the same order every time, and of a bucket that
        // runs empty the first to ask gets the most.
        const double part = 0.5 + loop_.rng().unit();
        const std::chrono::duration<double> wait = LeasedSlice::kExchangeInterval * part;
        co_await io::sleep_for(loop_, std::chrono::duration_cast<Duration>(wait));
    }
}

void SliceExchange::turn() {
    const Instant now = loop_.now();
    std::erase_if(entries_, [](const auto& one) { return one.second.slice.expired(); });
    for (auto& [name, entry] : entries_) {
        const auto slice = entry.slice.lock();
        if (slice == nullptr) continue;  // another thread has replaced it just now
        if (entry.is_asking) {           // since the last turn: that is late
            slice->failed(now);
            continue;
        }
        const LeasedSlice::Ask asked = slice->ask(now);
        if (!client_->is_up()) {
            slice->failed(now);
            note_failure("there is no connection to Redis");
        } else if (asked.is_empty()) {
            if (!has_problem_) slice->granted(0, 0, now);
        } else {
            entry.is_asking = true;
            tasks_.spawn(exchange(name, slice, asked));
        }
    }
}

io::Task<void> SliceExchange::exchange(
    std::string name, std::shared_ptr<LeasedSlice> slice, LeasedSlice::Ask asked
) {
    std::vector<std::string> words = {
        "EVAL",
        std::string(kScript),
        "2",
        prefix_ + "slice:" + name,
        prefix_ + "slice:" + name + ":who",
        fmt::format("{:.12g}", slice->config().rate),
        fmt::format("{:.12g}", slice->config().burst),
        std::to_string(asked.wanted),
        std::to_string(asked.returned),
        process_,
        std::to_string(kProcessMs)
    };
    auto reply = co_await client_->call(std::move(words), loop_.now() + kTimeout);
    const auto entry = entries_.find(name);
    if (entry != entries_.end()) entry->second.is_asking = false;
    if (!reply) {
        slice->failed(loop_.now());
        ++stats_.late;
        note_failure(reply.error().what);
        co_return;
    }
    const bool is_ours = reply->items.size() == 2 && reply->items[0].integer >= 0 &&
                         reply->items[0].integer <= asked.wanted && reply->items[1].integer > 0;
    if (!is_ours) {
        slice->failed(loop_.now());
        note_failure("an answer that is not one of ours");
        co_return;
    }
    const std::int64_t granted = reply->items[0].integer;
    slice->granted(granted, reply->items[1].integer, loop_.now());
    ++stats_.answered;
    stats_.granted += static_cast<std::uint64_t>(granted);
    if (std::exchange(has_problem_, false)) log_.info("tokens are shared through Redis again");
}

void SliceExchange::note_failure(std::string_view what) {
    ++stats_.failed;
    if (std::exchange(has_problem_, true)) return;
    log_.warn(
        "tokens cannot be shared through Redis: each process has its part of them by itself",
        {{"error", what}}
    );
}

}  // namespace datapunk::mesh::redis
