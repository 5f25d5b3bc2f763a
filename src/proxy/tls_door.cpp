#include "proxy/tls_door.h"

#include <utility>

#include "io/tls_slot.h"
#include "metrics/names.h"

namespace datapunk::mesh::proxy {

namespace {

// Whoever can connect could fill the log otherwise.
constexpr std::size_t kLinesPerSecond = 5;

struct Running {
    explicit Running(std::size_t& c) : count(c) { ++count; }

    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    ~Running() { --count; }

    std::size_t& count;
};

}  // namespace

TlsDoor::TlsDoor(
    const ListenerConfig& config,
    metrics::MetricRegistry& registry,
    metrics::Shard shard,
    core::Logger log
)
    : config_(config),
      registry_(registry),
      shard_(shard),
      done_(registry.counter(metrics::names::kTlsHandshakes, {config.name, "done"}, shard)),
      resumed_(registry.counter(metrics::names::kTlsHandshakes, {config.name, "resumed"}, shard)),
      log_(std::move(log)) {}

io::Task<std::unique_ptr<io::TlsStream>> TlsDoor::enter(io::StreamPtr raw, std::string peer) {
    io::Loop& loop = raw->loop();
    if (running_ >= config_.tls.handshakes_max) {
        refuse(peer, "too_many", "as many handshakes as allowed are going on", loop.now());
        raw->reset();
        co_return nullptr;
    }
    const Running running(running_);
    const auto context = config_.tls.contexts->get();
    auto stream = io::TlsStream::server(std::move(raw), context);
    const Instant deadline = loop.now() + config_.tls.handshake_timeout;
    auto shaken = co_await stream->handshake(deadline);
    if (!shaken) {
        refuse(peer, to_string(stream->failure()), shaken.error().what, loop.now());
        co_return nullptr;
    }
    (stream->is_resumed() ? resumed_ : done_).add();
    co_return stream;
}

void TlsDoor::refuse(
    std::string_view peer, std::string_view result, std::string_view why, Instant now
) {
    registry_.counter(metrics::names::kTlsHandshakes, {config_.name, result}, shard_).add();
    if (!may_log(now)) return;
    log_.warn(
        "TLS handshake failed",
        {{"listener", config_.name},
         {"peer", peer},
         {"result", result},
         {"why", why},
         {"not_logged", std::exchange(suppressed_, 0)}}
    );
}

bool TlsDoor::may_log(Instant now) {
    if (now - log_second_ >= std::chrono::seconds(1)) {
        log_second_ = now;
        logged_ = 0;
    }
    if (++logged_ <= kLinesPerSecond) return true;
    ++suppressed_;
    return false;
}

}  // namespace datapunk::mesh::proxy
