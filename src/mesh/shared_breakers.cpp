#include "mesh/shared_breakers.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace datapunk::mesh::internal {

namespace {

using std::chrono::milliseconds;

// Longer than Redis ever takes, shorter than the time to the next tick.
constexpr Duration kTimeout = milliseconds(500);
constexpr std::size_t kReportBytesMax = 512;  // of a process and an endpoint's id

// KEYS: the reports. ARGV: the most of them, then pairs of a report and its time left in ms.
// Answers all that are not over, each followed by its end. TIME in a script that writes needs
// Redis 5.
constexpr std::string_view kExchangeScript = R"(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[i + 1])), ARGV[i])
end
local spare = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if spare > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, spare - 1) end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIREAT', KEYS[1], last[2]) end
return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'))";

}  // namespace

Result<std::unique_ptr<SharedBreakers>> SharedBreakers::create(
    io::Network& network, const SharedCacheConfig& config, core::Logger log
) {
    auto redis = redis::config_of(
        config,
        {.bytes_max = 2 * SharedBreakers::kToldMax * kReportBytesMax,
         .items_max = 4 * SharedBreakers::kToldMax}
    );
    if (!redis) return std::move(redis).error();
    return std::unique_ptr<SharedBreakers>(
        new SharedBreakers(network, *std::move(redis), config.prefix, std::move(log))
    );
}

SharedBreakers::SharedBreakers(
    io::Network& network, redis::RedisConfig config, std::string prefix, core::Logger log
)
    : network_(network),
      loop_(network.loop()),
      redis_(std::move(config)),
      prefix_(std::move(prefix)),
      process_(fmt::format("{:016x}", loop_.rng()())),
      log_(std::move(log)) {}

void SharedBreakers::tick(std::span<policy::ServicePolicies* const> services) {
    const Instant now = loop_.now();
    for (policy::ServicePolicies* service : services) {
        if (!service->policy()->share_breakers) continue;
        if (!client_) client_.emplace(network_, redis_, log_);
        Shared& shared = services_[service->name()];
        for (auto& [endpoint, until] : service->take_opened(now)) {
            if (endpoint.size() + process_.size() >= kReportBytesMax) continue;
            if (shared.to_tell.size() < kToldMax) shared.to_tell[endpoint] = until;
        }
        std::erase_if(shared.to_tell, [now](const auto& one) { return one.second <= now; });
        if (!client_->is_up() || std::exchange(shared.is_asking, true)) continue;
        tasks_.spawn(exchange(service));
    }
}

io::Task<void> SharedBreakers::exchange(policy::ServicePolicies* service) {
    Shared& shared = services_.find(service->name())->second;
    const std::map<std::string, Instant> told = shared.to_tell;
    std::vector<std::string> words = {
        "EVAL",
        std::string(kExchangeScript),
        "1",
        prefix_ + "breakers:" + service->name(),
        std::to_string(kToldMax)
    };
    for (const auto& [endpoint, until] : told) {
        words.push_back(process_ + " " + endpoint);
        words.push_back(std::to_string(
            std::max<std::int64_t>(1, std::chrono::ceil<milliseconds>(until - loop_.now()).count())
        ));
    }
    auto reply = co_await client_->call(std::move(words), loop_.now() + kTimeout);
    shared.is_asking = false;
    if (!reply) {
        // That there is no connection, the client says itself.
        if (reply.error().code != Code::unavailable) note_problem(reply.error().what);
        co_return;
    }
    std::vector<std::pair<std::string, std::string>> reports;
    for (std::size_t i = 0; i + 1 < reply->items.size(); i += 2) {
        reports.emplace_back(reply->items[i].text, reply->items[i + 1].text);
    }
    for (const auto& [endpoint, until] : told) {
        const auto at = shared.to_tell.find(endpoint);
        if (at != shared.to_tell.end() && at->second == until) shared.to_tell.erase(at);
    }
    hear(*service, reports);
    if (std::exchange(has_problem_, false)) log_.info("breakers are shared again");
}

void SharedBreakers::hear(
    policy::ServicePolicies& service,
    const std::vector<std::pair<std::string, std::string>>& reports
) {
    Shared& shared = services_.find(service.name())->second;
    std::map<std::string, std::string> heard;
    for (const auto& [report, until] : reports) {
        const std::size_t blank = report.find(' ');
        if (blank == std::string::npos || heard.size() >= kToldMax) continue;  // not one of ours
        if (std::string_view(report).substr(0, blank) == process_) continue;
        const auto before = shared.heard.find(report);
        const bool is_news = before == shared.heard.end() || before->second != until;
        heard.emplace(report, until);
        if (is_news) service.distrust(std::string_view(report).substr(blank + 1), loop_.now());
    }
    shared.heard = std::move(heard);
}

void SharedBreakers::note_problem(std::string_view what) {
    if (std::exchange(has_problem_, true)) return;
    log_.warn("breakers cannot be shared, going on alone", {{"error", what}});
}

}  // namespace datapunk::mesh::internal
