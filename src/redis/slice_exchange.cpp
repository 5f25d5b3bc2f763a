#include "redis/slice_exchange.h"

#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <utility>
#include <variant>
#include <vector>

#include "redis/slice_scripts.h"
#include "resilience/sliding_window.h"

namespace datapunk::mesh::redis {

namespace {

using resilience::LeasedSlice;
using resilience::LeasedWindow;
using std::chrono::milliseconds;

// Longer than Redis ever takes. Nobody waits for it: what comes later than the next exchange is
// counted against what was filled in meanwhile.
constexpr Duration kTimeout = milliseconds(500);
// Who has not asked for so long does not share any more.
constexpr int kProcessMs = 10'000;

// Nobody but us has it any more, or nobody wants it.
bool is_unwanted(const resilience::Leased& leased) {
    if (const auto* slice = std::get_if<std::shared_ptr<LeasedSlice>>(&leased)) {
        return slice->use_count() == 1 || !(*slice)->is_wanted();
    }
    return std::get<std::shared_ptr<LeasedWindow>>(leased).use_count() == 1;
}

void fail(const resilience::Leased& leased, Instant now) {
    std::visit([now](const auto& its) { its->failed(now); }, leased);
}

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

void SliceExchange::add(const std::string& name, resilience::Leased leased) {
    const auto [entry, is_new] = entries_.try_emplace(name);
    if (!is_new && entry->second.leased == leased) return;
    if (!is_new) replaced_.emplace_back(name, std::move(entry->second.leased));
    entry->second.is_asking = false;
    entry->second.leased = std::move(leased);  // an exchange that is under way keeps its own
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
    release_unwanted();
    for (auto& [name, entry] : entries_) {
        if (entry.is_asking) {  // since the last turn: that is late
            fail(entry.leased, now);
            continue;
        }
        ask(name, entry);
    }
}

void SliceExchange::release_unwanted() {
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        const bool stays = entry->second.is_asking || !is_unwanted(entry->second.leased);
        if (!stays) replaced_.emplace_back(entry->first, std::move(entry->second.leased));
        entry = stays ? std::next(entry) : entries_.erase(entry);
    }
    for (const auto& [name, leased] : std::exchange(replaced_, {})) {
        ask_to_return(name, leased);
    }
}

void SliceExchange::ask(const std::string& name, Entry& entry) {
    const Instant now = loop_.now();
    if (const auto* slice = std::get_if<std::shared_ptr<LeasedSlice>>(&entry.leased)) {
        const LeasedSlice::Ask asked = (*slice)->ask(now);
        if (client_->is_up() && asked.is_empty()) {
            if (!has_problem_) (*slice)->granted(0, 0, now);
            return;
        }
        entry.is_asking = client_->is_up();
        if (entry.is_asking) tasks_.spawn(exchange(name, *slice, asked));
    } else {
        const auto& window = std::get<std::shared_ptr<LeasedWindow>>(entry.leased);
        const LeasedWindow::Ask asked = window->ask(now);
        if (client_->is_up() && asked.is_empty) return;
        entry.is_asking = client_->is_up();
        if (entry.is_asking) tasks_.spawn(exchange_window(name, window, asked));
    }
    if (entry.is_asking) return;
    fail(entry.leased, now);
    note_failure("there is no connection to Redis");
}

// Without Redis there is nobody to return it to: it is lost. So is what the answer might bring.
void SliceExchange::ask_to_return(const std::string& name, const resilience::Leased& leased) {
    if (const auto* slice = std::get_if<std::shared_ptr<LeasedSlice>>(&leased)) {
        const LeasedSlice::Ask asked = (*slice)->give_up();
        if (asked.returned > 0 && client_->is_up()) tasks_.spawn(exchange(name, *slice, asked));
        return;
    }
    const auto& window = std::get<std::shared_ptr<LeasedWindow>>(leased);
    const LeasedWindow::Ask asked = window->give_up(loop_.now());
    if (client_->is_up()) tasks_.spawn(exchange_window(name, window, asked));
}

io::Task<void> SliceExchange::exchange(
    std::string name, std::shared_ptr<LeasedSlice> slice, LeasedSlice::Ask asked
) {
    const resilience::SliceConfig config = slice->config();
    std::vector<std::string> words = {
        "EVAL",
        std::string(kBucketScript),
        "2",
        prefix_ + "slice:" + name,
        prefix_ + "slice:" + name + ":who",
        fmt::format("{:.12g}", config.rate),
        fmt::format("{:.12g}", config.burst),
        std::to_string(asked.wanted),
        std::to_string(asked.returned),
        process_,
        std::to_string(kProcessMs)
    };
    const auto got = co_await call(std::move(words), asked.wanted);
    end_exchange(name, slice, got);
}

io::Task<void> SliceExchange::exchange_window(
    std::string name, std::shared_ptr<LeasedWindow> window, LeasedWindow::Ask asked
) {
    const resilience::WindowConfig config = window->config();
    const auto ms = std::chrono::ceil<milliseconds>(config.per).count();
    constexpr auto kParts = static_cast<std::int64_t>(resilience::SlidingWindow::kSlices) - 1;
    std::vector<std::string> words = {
        "EVAL",
        std::string(kWindowScript),
        "3",
        prefix_ + "slice:" + name,
        prefix_ + "slice:" + name + ":who",
        prefix_ + "slice:" + name + ":held",
        std::to_string((ms + kParts - 1) / kParts),
        std::to_string(config.calls),
        std::to_string(asked.wanted),
        std::to_string(asked.held),
        std::to_string(asked.spent),
        std::to_string(asked.recent),
        process_,
        std::to_string(kProcessMs)
    };
    const auto got = co_await call(std::move(words), asked.wanted);
    end_exchange(name, window, got);
}

void SliceExchange::end_exchange(
    const std::string& name, const resilience::Leased& leased, const std::optional<Granted>& got
) {
    const auto entry = entries_.find(name);
    if (entry != entries_.end() && entry->second.leased == leased) entry->second.is_asking = false;
    if (!got) return fail(leased, loop_.now());
    std::visit(
        [&](const auto& its) { its->granted(got->first, got->second, loop_.now()); }, leased
    );
}

// What is granted, and how many share it.
io::Task<std::optional<SliceExchange::Granted>> SliceExchange::call(
    std::vector<std::string> words, std::int64_t wanted
) {
    auto reply = co_await client_->call(std::move(words), loop_.now() + kTimeout);
    if (!reply) {
        ++stats_.late;
        note_failure(reply.error().what);
        co_return std::nullopt;
    }
    const bool is_ours = reply->items.size() == 2 && reply->items[0].integer >= 0 &&
                         reply->items[0].integer <= wanted && reply->items[1].integer > 0;
    if (!is_ours) {
        note_failure("an answer that is not one of ours");
        co_return std::nullopt;
    }
    const Granted granted{reply->items[0].integer, reply->items[1].integer};
    ++stats_.answered;
    stats_.granted += static_cast<std::uint64_t>(granted.first);
    if (std::exchange(has_problem_, false)) log_.info("tokens are shared through Redis again");
    co_return granted;
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
