#include "discovery/shared_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"
#include "discovery/shared_cache_scripts.h"
#include "metrics/names.h"

namespace datapunk::mesh::discovery {

namespace names = metrics::names;
namespace resp = wire::resp;

namespace {

using std::chrono::milliseconds;

// A change is written after a random part of this: others saw it too.
constexpr Duration kSpread = milliseconds(200);
// Larger sets are not shared: some 40,000 endpoints.
constexpr std::size_t kSetBytesMax = 16U << 20U;
// Writing may take longer than reading: nobody waits for it.
constexpr Duration kWriteTimeout = std::chrono::seconds(1);
constexpr std::size_t kOffersMax = 100'000;
constexpr std::int64_t kAgeMaxMs = 366LL * 24 * 3600 * 1000;

std::string text_of(std::string_view text) {
    return std::string(text);
}

std::string ms_text(Duration time) {
    const auto ms = std::chrono::floor<milliseconds>(time).count();
    return std::to_string(std::max<std::int64_t>(ms, 0));
}

std::string_view result_of(Code code) {
    if (code == Code::timeout) return "timeout";
    if (code == Code::unavailable) return "refused";
    return "error";
}

// Not only of this one key.
bool is_away(Code code) {
    return code == Code::unavailable || code == Code::timeout;
}

}  // namespace

Result<std::unique_ptr<SharedCache>> SharedCache::create(
    io::Network& network,
    const SharedCacheConfig& config,
    metrics::MetricRegistry& metrics,
    core::Logger log
) {
    // No answer of ours has more than two items.
    auto redis = redis::config_of(config, {.bytes_max = 2 * kSetBytesMax, .items_max = 64});
    if (!redis) return std::move(redis).error();
    return std::unique_ptr<SharedCache>(
        new SharedCache(network, config, *std::move(redis), metrics, std::move(log))
    );
}

SharedCache::SharedCache(
    io::Network& network,
    const SharedCacheConfig& config,
    redis::RedisConfig redis,
    metrics::MetricRegistry& metrics,
    core::Logger log
)
    : loop_(network.loop()),
      config_(config),
      metrics_(metrics),
      up_(metrics.gauge(names::kSharedCacheUp, {})),
      invalidations_(metrics.counter(names::kSharedCacheInvalidations, {})),
      log_(log),
      rng_(loop_.rng().fork()),
      writer_(fmt::format("{:016x}", rng_())),
      has_offers_(loop_),
      client_(network, redis, log),
      subscription_(
          network,
          redis,
          {config.prefix + "changed"},
          {.on_message =
               [this](std::string_view, std::string_view message) { on_message(message); },
           .on_subscribed = [this] { ++epoch_; }},
          log
      ) {
    up_.set(0);
    tasks_.spawn(write_offers());
}

void SharedCache::count(std::string_view operation, std::string_view result) {
    metrics_.counter(names::kSharedCacheRequests, {operation, result}).add();
    const bool is_good = result == "ok" || result == "miss";
    if (is_good && std::exchange(has_problem_, false)) log_.info("the shared cache works again");
}

// Connections that come and go are the client's to report; this is about what Redis says.
void SharedCache::note_problem(std::string_view operation, const std::string& what) {
    if (std::exchange(has_problem_, true)) return;
    log_.warn(
        "the shared cache does not work, going on without",
        {{"operation", operation}, {"error", what}}
    );
}

io::Task<Result<resp::RespValue>> SharedCache::ask(
    std::string_view operation, std::vector<std::string> words
) {
    const Duration limit = operation == "fetch" ? config_.timeout : kWriteTimeout;
    auto reply = co_await client_.call(std::move(words), loop_.now() + limit);
    up_.set(reply.ok() ? 1 : 0);
    if (!reply) {
        count(operation, result_of(reply.error().code));
        // That there is no connection, the client says itself.
        if (reply.error().code != Code::unavailable) note_problem(operation, reply.error().what);
    }
    co_return std::move(reply);
}

io::Task<std::optional<AgedSet>> SharedCache::fetch(std::string service) {
    std::vector<std::string> words = {
        "EVAL", text_of(kFetchScript), "1", config_.prefix + "set:" + service
    };
    const std::string operation = "fetch";
    auto reply = co_await ask(operation, std::move(words));
    if (!reply) co_return std::nullopt;
    if (reply->is_null()) {
        count(operation, "miss");
        co_return std::nullopt;
    }
    std::optional<std::int64_t> age_ms;
    if (reply->items.size() == 2) age_ms = core::parse_number<std::int64_t>(reply->items[0].text);
    Result<AgedSet> found = Error{.what = "neither a set nor nothing"};
    if (age_ms) found = decode_set(reply->items[1].text);
    if (!found || found->set->service != service || *age_ms < 0) {
        count(operation, "garbage");
        note_problem(operation, found ? "the set of another service" : found.error().what);
        co_return std::nullopt;
    }
    found->age = std::min<Duration>(milliseconds(std::min(*age_ms, kAgeMaxMs)), config_.keep);
    count(operation, "ok");
    co_return *std::move(found);
}

void SharedCache::offer(EndpointSetPtr set) {
    if (!client_.is_up() || set->endpoints.empty() || offers_.size() >= kOffersMax) return;
    std::string service = set->service;
    offers_[std::move(service)] = std::move(set);
    has_offers_.set();
}

io::Task<void> SharedCache::write_offers() {
    for (;;) {
        co_await has_offers_.wait(kNever);
        has_offers_.clear();
        const Duration pause(
            static_cast<std::int64_t>(rng_.unit() * static_cast<double>(kSpread.count()))
        );
        co_await io::sleep_for(loop_, pause);
        while (!offers_.empty()) {
            EndpointSetPtr set = std::move(offers_.begin()->second);
            offers_.erase(offers_.begin());
            const bool is_written = co_await write(std::move(set));
            if (!is_written) offers_.clear();  // it is away; they are offered again when confirmed
        }
    }
}

// False: Redis cannot be used.
io::Task<bool> SharedCache::write(EndpointSetPtr set) {
    const std::string key = config_.prefix + "set:" + set->service;
    const std::string hash = fmt::format("{:016x}", content_hash(set->endpoints));
    const std::string keep = ms_text(config_.keep);
    std::vector<std::string> confirm = {
        "EVAL",
        text_of(kConfirmScript),
        "1",
        key,
        ms_text(loop_.now() - set->learned_at),
        hash,
        keep
    };
    const std::string confirming = "confirm";
    auto confirmed = co_await ask(confirming, std::move(confirm));
    if (!confirmed) co_return !is_away(confirmed.error().code);
    count(confirming, confirmed->integer == 0 ? "miss" : "ok");
    if (confirmed->integer != 0) co_return true;

    const Duration age = loop_.now() - set->learned_at;
    std::string text = encode_set(*set, age);
    const std::string storing = "store";
    if (text.size() > kSetBytesMax) {
        count(storing, "error");
        note_problem(storing, fmt::format("the set of {} has {} bytes", set->service, text.size()));
        co_return true;
    }
    std::vector<std::string> store = {
        "EVAL",
        text_of(kStoreScript),
        "1",
        key,
        ms_text(age),
        hash,
        keep,
        std::move(text),
        config_.prefix + "changed",
        fmt::format("{} {} {}", writer_, hash, set->service)
    };
    auto stored = co_await ask(storing, std::move(store));
    if (!stored) co_return !is_away(stored.error().code);
    count(storing, "ok");
    co_return true;
}

void SharedCache::on_message(std::string_view message) {
    const auto words = core::split(message, ' ');
    if (words.size() != 3 || words[1].size() != 16) return;  // not one of ours
    if (words[0] == writer_) return;
    std::uint64_t hash = 0;
    const auto [end, problem] =
        std::from_chars(words[1].data(), words[1].data() + words[1].size(), hash, 16);
    if (problem != std::errc() || end != words[1].data() + words[1].size()) return;
    invalidations_.add();
    if (on_notice_) on_notice_(words[2], hash);
}

}  // namespace datapunk::mesh::discovery
