#include "redis/redis_client.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "redis/redis_session.h"
#include "resilience/backoff.h"
#include "wire/resp/reply_reader.h"

namespace datapunk::mesh::redis {

namespace resp = wire::resp;

namespace {

// A connection that breaks sooner has not proved anything: the pauses go on growing.
constexpr Duration kSteadyAfter = std::chrono::seconds(1);
constexpr std::size_t kReadBytes = 16U << 10U;

}  // namespace

struct RedisClient::Pending {
    Pending(io::Loop& loop, Instant when) : done(loop), begun(when) {}

    io::Event done;
    Instant begun;
    std::optional<Result<resp::RespValue>> result;
};

RedisClient::RedisClient(io::Network& network, RedisConfig config, core::Logger log)
    : network_(network),
      loop_(network.loop()),
      config_(std::move(config)),
      log_(std::move(log)),
      rng_(loop_.rng().fork()),
      has_output_(loop_) {
    down_because_ = Error{.code = Code::unavailable, .what = "not connected yet"};
    tasks_.spawn(run());
}

RedisClient::~RedisClient() = default;

void RedisClient::LateAnswer::on_fire(io::Timer& timer) {
    RedisClient& client = static_cast<LateAnswer&>(timer).client;
    if (client.stream_ != nullptr) client.stream_->close();
}

io::Task<Result<resp::RespValue>> RedisClient::call(
    std::vector<std::string> words, Instant deadline
) {
    if (!is_up_) {
        ++stats_.refused;
        Error error = *down_because_;
        error.code = Code::unavailable;
        error.retryable = true;
        co_return error;
    }
    std::size_t bytes = 0;
    for (const std::string& word : words) bytes += word.size();
    if (pending_.size() >= config_.queue_max ||
        bytes + out_.size() + sending_.size() > config_.queue_bytes_max) {
        ++stats_.refused;
        co_return Error{
            .code = Code::exhausted,
            .what = fmt::format(
                "redis at {}: {} commands wait for their answer already",
                config_.address(),
                pending_.size()
            ),
            .retryable = true
        };
    }
    const auto pending = std::make_shared<Pending>(loop_, loop_.now());
    send(words, pending);
    co_await pending->done.wait(deadline);
    if (pending->result) co_return *std::move(pending->result);
    ++stats_.timeouts;
    co_return Error{
        .code = Code::timeout,
        .what = fmt::format("redis at {} did not answer in time", config_.address()),
        .source = Source::upstream,
        .retryable = true
    };
}

void RedisClient::send(const std::vector<std::string>& words, std::shared_ptr<Pending> pending) {
    resp::append_command(out_, words);
    pending_.push_back(std::move(pending));
    if (pending_.size() == 1) arm_alarm();
    has_output_.set();
}

void RedisClient::arm_alarm() {
    late_answer_.cancel();
    if (pending_.empty()) return;
    loop_.timers().arm(late_answer_, pending_.front()->begun + config_.reply_timeout);
}

void RedisClient::on_reply(resp::RespValue reply) {
    const std::shared_ptr<Pending> pending = std::move(pending_.front());
    pending_.pop_front();
    arm_alarm();
    ++stats_.calls;
    if (reply.is_error()) {
        Error error = error_of_reply(reply);
        error.what = fmt::format("redis at {}: {}", config_.address(), error.what);
        pending->result.emplace(std::move(error));
    } else {
        pending->result.emplace(std::move(reply));
    }
    pending->done.set();
}

void RedisClient::note_down(const Error& error) {
    ++stats_.failures;
    is_up_ = false;
    down_because_ = error;
    if (std::exchange(was_told_, true)) return;
    log_.warn("redis cannot be used", {{"address", config_.address()}, {"error", error.what}});
}

io::Task<void> RedisClient::run() {
    for (;;) {
        const Instant begun = loop_.now();
        const Instant deadline = begun + config_.connect_timeout;
        auto opened = co_await open_session(network_, config_, deadline);
        if (opened) {
            stream_ = *std::move(opened);
            ++stats_.connections;
            is_up_ = true;
            if (std::exchange(was_told_, false)) {
                log_.info("redis can be used again", {{"address", config_.address()}});
            }
            const Error broken = co_await converse();
            writer_.cancel();
            note_down(broken);
            late_answer_.cancel();
            for (const auto& pending : std::exchange(pending_, {})) {
                pending->result.emplace(broken);
                pending->done.set();
            }
            out_.clear();
            sending_.clear();
            stream_.reset();
            if (loop_.now() - begun >= kSteadyAfter + config_.reply_timeout) failures_ = 0;
        } else {
            note_down(opened.error());
        }
        const Duration pause = resilience::full_jitter(config_.reconnect, failures_++, rng_);
        co_await io::sleep_for(loop_, pause);
    }
}

// Until the connection breaks; why.
io::Task<Error> RedisClient::converse() {
    writer_.spawn(write_all());
    resp::ReplyReader reader(config_.reply);
    std::string problem = "it closed the connection";
    std::vector<char> buffer(kReadBytes);
    for (;;) {
        const Instant idle_until = loop_.now() + config_.ping_interval;
        auto got = co_await stream_->read(buffer, idle_until);
        if (!got && got.error().code == Code::timeout && pending_.empty()) {
            send({"PING"}, std::make_shared<Pending>(loop_, loop_.now()));
            continue;
        }
        if (!got && got.error().code == Code::timeout) continue;  // the alarm watches over those
        if (!got) {
            const bool is_late = got.error().code == Code::aborted;
            problem = is_late ? "it does not answer" : got.error().what;
            break;
        }
        if (*got == 0) break;
        reader.feed(std::string_view(buffer.data(), *got));
        while (!pending_.empty() && reader.next()) on_reply(reader.take());
        const bool is_unasked = pending_.empty() && reader.next();
        if (reader.problem() || is_unasked) {
            problem = is_unasked ? "it answers what nobody asked" : reader.problem()->what;
            break;
        }
    }
    co_return Error{
        .code = Code::unavailable,
        .what = fmt::format("redis at {}: {}", config_.address(), problem),
        .source = Source::upstream,
        .retryable = true
    };
}

io::Task<void> RedisClient::write_all() {
    for (;;) {
        co_await has_output_.wait(kNever);
        has_output_.clear();
        sending_.clear();
        std::swap(sending_, out_);
        if (sending_.empty()) continue;
        const Instant deadline = loop_.now() + config_.reply_timeout;
        auto sent = co_await stream_->write(io::Slices(sending_), deadline);
        if (!sent) stream_->close();  // ends the reading, and with it the connection
        if (!sent) co_return;
    }
}

}  // namespace datapunk::mesh::redis
