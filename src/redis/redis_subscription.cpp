#include "redis/redis_subscription.h"

#include <fmt/format.h>

#include <utility>

#include "redis/redis_session.h"
#include "resilience/backoff.h"
#include "wire/resp/reply_reader.h"

namespace datapunk::mesh::redis {

namespace resp = wire::resp;

namespace {

constexpr std::size_t kReadBytes = 16U << 10U;

}  // namespace

RedisSubscription::RedisSubscription(
    io::Network& network,
    RedisConfig config,
    std::vector<std::string> channels,
    Listener listener,
    core::Logger log
)
    : network_(network),
      loop_(network.loop()),
      config_(std::move(config)),
      channels_(std::move(channels)),
      listener_(std::move(listener)),
      log_(std::move(log)),
      rng_(loop_.rng().fork()) {
    tasks_.spawn(run());
}

io::Task<void> RedisSubscription::run() {
    for (;;) {
        const Instant begun = loop_.now();
        const Instant deadline = begun + config_.connect_timeout;
        auto opened = co_await open_session(network_, config_, deadline);
        Error problem;
        if (opened) {
            stream_ = *std::move(opened);
            problem = co_await listen();
            stream_.reset();
            if (is_listening_) failures_ = 0;
            is_listening_ = false;
        } else {
            problem = std::move(opened).error();
        }
        if (!std::exchange(was_told_, true)) {
            log_.warn(
                "redis does not tell us of changes",
                {{"address", config_.address()}, {"error", problem.what}}
            );
        }
        const Duration pause = resilience::full_jitter(config_.reconnect, failures_++, rng_);
        co_await io::sleep_for(loop_, pause);
    }
}

// Until the connection breaks; why.
io::Task<Error> RedisSubscription::listen() {
    confirmed_ = 0;
    std::string out;
    std::vector<std::string> words = {"SUBSCRIBE"};
    words.insert(words.end(), channels_.begin(), channels_.end());
    resp::append_command(out, words);
    resp::ReplyReader reader(config_.reply);
    std::vector<char> buffer(kReadBytes);
    bool is_waiting = true;  // for an answer: to SUBSCRIBE, or to PING
    for (;;) {
        if (!out.empty()) {
            const Instant sent_by = loop_.now() + config_.reply_timeout;
            auto sent = co_await stream_->write(io::Slices(out), sent_by);
            if (!sent) co_return std::move(sent).error();
            out.clear();
        }
        const Duration patience = is_waiting ? config_.reply_timeout : config_.ping_interval;
        const Instant until = loop_.now() + patience;
        auto got = co_await stream_->read(buffer, until);
        if (!got && got.error().code == Code::timeout && !is_waiting) {
            // Silence is normal here, and so looks a dead peer: ask.
            resp::append_command(out, {"PING"});
            is_waiting = true;
            continue;
        }
        if (!got) co_return std::move(got).error();
        if (*got == 0) co_return Error{.what = "it closed the connection"};
        is_waiting = confirmed_ < channels_.size();
        reader.feed(std::string_view(buffer.data(), *got));
        while (reader.next()) {
            const resp::RespValue value = reader.take();
            if (auto good = on_value(value); !good) co_return std::move(good).error();
        }
        if (reader.problem()) co_return *reader.problem();
        is_waiting = is_waiting && confirmed_ < channels_.size();
    }
}

Result<> RedisSubscription::on_value(const resp::RespValue& value) {
    if (value.is_error()) return error_of_reply(value);
    const bool is_message =
        value.type == resp::RespType::array || value.type == resp::RespType::push;
    if (!is_message || value.items.empty()) return Ok{};  // an answer to PING in RESP3
    const std::string& what = value.items[0].text;
    if (what == "message" && value.items.size() == 3) {
        listener_.on_message(value.items[1].text, value.items[2].text);
    } else if (what == "subscribe" && ++confirmed_ == channels_.size()) {
        is_listening_ = true;
        if (std::exchange(was_told_, false)) {
            log_.info("redis tells us of changes again", {{"address", config_.address()}});
        }
        if (listener_.on_subscribed) listener_.on_subscribed();
    }
    return Ok{};
}

}  // namespace datapunk::mesh::redis
