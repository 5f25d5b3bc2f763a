#include "registry/etcd/watched_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/counted.h"
#include "registry/etcd/keys.h"
#include "registry/etcd/range_reader.h"
#include "registry/instance_record.h"
#include "resilience/backoff.h"

namespace datapunk::mesh::registry::etcd {

namespace {

// Between watches that end at once.
constexpr Duration kReopenFirst = std::chrono::milliseconds(50);
constexpr Duration kReopenMax = std::chrono::seconds(5);
// A watch that lived so long ended for a reason of its own.
constexpr Duration kHealthyLife = std::chrono::seconds(5);

}  // namespace

WatchedService::WatchedService(EtcdClient& client, std::string service)
    : client_(client),
      service_(std::move(service)),
      prefix_(service_prefix(client.config().prefix, service_)),
      last_used_(client.loop().now()),
      changed_(client.loop()) {}

bool WatchedService::is_idle() const noexcept {
    return waits_ == 0 && client_.loop().now() - last_used_ >= client_.config().linger;
}

Answer WatchedService::answer() const {
    Answer out{.index = std::max<std::uint64_t>(index_, 1)};
    out.endpoints.reserve(endpoints_.size());
    for (const auto& [id, endpoint] : endpoints_) out.endpoints.push_back(endpoint);
    return out;
}

void WatchedService::changed() {
    changed_.set();
    changed_.clear();
}

io::Task<Result<Answer>> WatchedService::wait(
    std::uint64_t after, Duration longest, Instant deadline
) {
    io::Loop& loop = client_.loop();
    const core::Counted waiting(waits_);
    last_used_ = loop.now();
    if (after == 0 || revision_ == 0) {
        auto done = co_await read(deadline);
        if (!done) co_return std::move(done).error();
        if (after == 0) co_return answer();
    }
    const Instant until = std::min(deadline, loop.now() + longest);
    const std::uint64_t failures = failures_;
    const std::uint64_t news = news_;  // an older state may have the same index
    while (index_ == after && news_ == news && loop.now() < until) {
        start_following();
        co_await changed_.wait(until);
        last_used_ = loop.now();
        if (failures_ != failures) co_return error_;
    }
    if (index_ == after && news_ == news) {
        auto verified = co_await verify(deadline);
        if (!verified) co_return std::move(verified).error();
    }
    co_return answer();
}

io::Task<Result<>> WatchedService::read(Instant deadline) {
    auto all = co_await read_prefix(client_, prefix_, deadline);
    if (!all) co_return std::move(all).error();
    take(all->position, all->kvs);
    co_return Ok{};
}

io::Task<Result<>> WatchedService::verify(Instant deadline) {
    const RangeRequest newest{
        .key = prefix_,
        .range_end = prefix_end(prefix_),
        .limit = 1,
        .keys_only = true,
        .newest_first = true
    };
    const std::string body = range_body(newest);
    auto answered = co_await client_.ask("/v3/kv/range", body, deadline);
    if (!answered) co_return std::move(answered).error();
    auto range = parse_range(*answered);
    if (!range) co_return std::move(range).error();
    const std::uint64_t newest_revision = range->kvs.empty() ? 0 : range->kvs[0].mod_revision;
    const bool is_elsewhere = range->position.cluster != cluster_ ||
                              range->position.revision < revision_ || newest_revision > revision_ ||
                              range->count != endpoints_.size() + unreadable_.size();
    if (!is_elsewhere) co_return Ok{};
    const std::uint64_t news = news_;
    auto done = co_await read(deadline);
    if (done && news_ != news) {
        client_.log().warn(
            "an etcd watch missed a change, opening it again", {{"service", service_}}
        );
        stop_following();
    }
    co_return std::move(done);
}

void WatchedService::take(const Position& at, const std::vector<KeyValue>& kvs) {
    const bool is_reset = revision_ != 0 && (at.cluster != cluster_ || at.revision < revision_);
    if (!is_reset && at.revision < revision_) return;  // the watch is further already
    if (is_reset) {
        client_.log().warn(
            "etcd has another or an older state than before",
            {{"service", service_}, {"revision", at.revision}, {"before", revision_}}
        );
    }
    const auto before = std::move(endpoints_);
    endpoints_.clear();
    const auto unreadable = std::move(unreadable_);
    unreadable_.clear();
    for (const KeyValue& kv : kvs) {
        if (unreadable.contains(kv.key)) unreadable_.insert(kv.key);  // said so once already
        apply(kv, false);
    }
    const bool is_news = index_ == 0 || is_reset || endpoints_ != before;
    cluster_ = at.cluster;
    revision_ = std::max<std::uint64_t>(at.revision, 1);
    if (!is_news) return;
    index_ = revision_;
    ++news_;
    changed();
}

bool WatchedService::apply(const KeyValue& kv, bool is_delete) {
    const auto key = parse_instance_key(client_.config().prefix, kv.key);
    std::string id = key && key->service == service_ ? key->id : std::string();
    if (is_delete) {
        unreadable_.erase(kv.key);
        return endpoints_.erase(id) > 0;
    }
    auto record = id.empty() ? Result<InstanceRecord>(Error{.what = "no id in the key"})
                             : parse_record(kv.value, service_, id);
    if (!record) {
        const bool is_first = unreadable_.insert(kv.key).second;
        if (is_first) {
            client_.log().warn(
                "an instance in etcd makes no sense, left out",
                {{"key", kv.key}, {"error", record.error().what}}
            );
        }
        return endpoints_.erase(id) > 0;
    }
    unreadable_.erase(kv.key);
    ServiceEndpoint& endpoint = endpoints_[id];
    if (endpoint == record->endpoint) return false;
    endpoint = std::move(record->endpoint);
    return true;
}

void WatchedService::start_following() {
    if (is_following_) return;
    is_following_ = true;
    tasks_.cancel();
    tasks_.spawn(follow());
}

// Not from inside follow().
void WatchedService::stop_following() {
    tasks_.cancel();
    is_following_ = false;
}

void WatchedService::fail(Error error) {
    error_ = std::move(error);
    ++failures_;
    changed();
}

io::Task<void> WatchedService::follow() {
    io::Loop& loop = client_.loop();
    std::uint32_t early_ends = 0;
    for (;;) {
        const Instant opened_at = loop.now();
        const std::string body = watch_body(prefix_, revision_ + 1);
        const Duration patience = client_.config().request_timeout *
                                  static_cast<std::int64_t>(client_.config().endpoints.size() + 1);
        const Instant deadline = opened_at + patience;
        auto stream = co_await client_.watch(body, deadline);
        Went went = Went::failed;
        if (stream) {
            went = co_await listen(*stream);
        } else {
            fail(std::move(stream).error());
        }
        if (went == Went::failed || is_idle()) break;
        early_ends = loop.now() - opened_at < kHealthyLife ? early_ends + 1 : 0;
        if (early_ends > 1) {
            const BackoffConfig backoff{.base = kReopenFirst, .max = kReopenMax};
            const Duration pause = resilience::full_jitter(backoff, early_ends, loop.rng());
            co_await io::sleep_for(loop, pause);
        }
    }
    is_following_ = false;
}

io::Task<WatchedService::Went> WatchedService::listen(EtcdClient::Streamed& stream) {
    const std::size_t bytes_max = client_.config().body_bytes_max;
    std::string buffer;
    for (;;) {
        const Duration linger =
            std::max<Duration>(client_.config().linger, std::chrono::seconds(1));
        const Instant look_again = client_.loop().now() + linger;
        auto piece = co_await stream->next(look_again);
        if (!piece && piece.error().code == Code::timeout) {
            if (is_idle()) co_return Went::again;  // follow() ends with that
            continue;
        }
        if (!piece || piece->empty()) co_return Went::again;
        if (buffer.size() + piece->size() > bytes_max) {
            fail(
                {.code = Code::exhausted,
                 .what = fmt::format("etcd: a line of a watch is over {} bytes", bytes_max),
                 .source = Source::registry}
            );
            co_return Went::failed;
        }
        buffer += *piece;
        std::size_t end = buffer.find('\n');
        while (end != std::string::npos) {
            auto message = parse_watch(std::string_view(buffer).substr(0, end));
            buffer.erase(0, end + 1);
            end = buffer.find('\n');
            Went went = Went::failed;
            if (message) {
                went = co_await on_message(*std::move(message));
            } else {
                Error error = std::move(message).error();
                error.what = "etcd: watch: " + error.what;
                fail(std::move(error));
            }
            if (went != Went::on) co_return went;
        }
    }
}

io::Task<WatchedService::Went> WatchedService::on_message(WatchMessage message) {
    // A member that lags is behind for a moment; a cluster that was restored stays behind, and a
    // watch from beyond its end hears nothing. A read, which needs the leader, tells which.
    const bool is_behind = message.created && message.position.revision < revision_;
    const bool is_other = message.created && message.position.cluster != cluster_;
    const bool is_compacted = message.canceled && message.compact_revision > 0;
    if (is_behind || is_other || is_compacted) {
        const Instant deadline = client_.loop().now() + client_.config().request_timeout * 2;
        const std::uint64_t revision = revision_;
        const std::string cluster = cluster_;
        auto done = co_await read(deadline);
        if (!done) {
            fail(std::move(done).error());
            co_return Went::failed;
        }
        const bool is_reset = revision_ < revision || cluster_ != cluster;
        if (is_compacted || is_reset) co_return Went::again;
    } else if (message.canceled) {
        fail(
            {.code = Code::unavailable,
             .what = fmt::format("etcd canceled a watch: {}", message.cancel_reason),
             .source = Source::registry,
             .retryable = true}
        );
        co_return Went::failed;
    }
    bool is_news = false;
    std::uint64_t revision = revision_;
    for (const WatchEvent& event : message.events) {
        if (event.kv.mod_revision <= revision_) continue;  // a read has brought it already
        is_news = apply(event.kv, event.is_delete) || is_news;
        revision = std::max(revision, event.kv.mod_revision);
    }
    revision_ = revision;
    if (is_news) {
        index_ = revision_;
        ++news_;
        changed();
    }
    co_return Went::on;
}

}  // namespace datapunk::mesh::registry::etcd
