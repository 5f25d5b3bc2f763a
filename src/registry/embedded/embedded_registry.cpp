#include "registry/embedded/embedded_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace datapunk::mesh::registry::embedded {

namespace {

// Woken in one turn of the loop: a millisecond's work.
constexpr std::size_t kWokenAtOnce = 64;

Error too_late() {
    return {
        .code = Code::timeout,
        .what = "the registry did not write the change in time; it may still happen",
        .source = Source::registry,
        .retryable = true,
    };
}

bool is_program(const catalog::CheckRegistration& check) {
    return check.check.definition.kind == catalog::CheckKind::script;
}

bool registers_program(const catalog::Command& command) {
    if (const auto* service = std::get_if<catalog::RegisterService>(&command)) {
        return std::any_of(service->checks.begin(), service->checks.end(), &is_program);
    }
    const auto* check = std::get_if<catalog::RegisterCheck>(&command);
    return check != nullptr && is_program(check->check);
}

}  // namespace

struct EmbeddedRegistry::Pending {
    Pending(io::Loop& loop, catalog::Command c) : command(std::move(c)), done(loop) {}

    catalog::Command command;
    std::optional<Result<catalog::Applied>> result;
    io::Event done;
};

// A waiter's place in the tables, given up when the wait ends in whatever way.
class EmbeddedRegistry::Waiting {
  public:
    Waiting(EmbeddedRegistry& registry, catalog::WaitToken token)
        : event(registry.loop_), registry_(registry), token_(token) {
        registry_.waiting_.emplace(token, &event);
    }

    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

    ~Waiting() {
        if (registry_.waiting_.erase(token_) > 0) registry_.waiters_.unsubscribe(token_);
    }

    io::Event event;

  private:
    EmbeddedRegistry& registry_;
    catalog::WaitToken token_;
};

Result<std::unique_ptr<EmbeddedRegistry>> EmbeddedRegistry::open(
    io::Loop& loop,
    std::unique_ptr<store::CommandLog> log,
    EmbeddedConfig config,
    core::Logger logger
) {
    catalog::Command node = catalog::SetLocalNode{config.node};
    if (auto ready = catalog::prepare(node); !ready) return std::move(ready).error();
    std::unique_ptr<EmbeddedRegistry> registry(
        new EmbeddedRegistry(loop, std::move(log), std::move(config), std::move(logger))
    );
    if (auto replayed = registry->replay(); !replayed) return std::move(replayed).error();
    if (auto allowed = registry->catalog_.check(node); !allowed) return std::move(allowed).error();
    if (registry->catalog_.local() != nullptr) registry->has_node_.set();
    registry->enqueue(std::move(node));
    return registry;
}

EmbeddedRegistry::EmbeddedRegistry(
    io::Loop& loop,
    std::unique_ptr<store::CommandLog> log,
    EmbeddedConfig config,
    core::Logger logger
)
    : loop_(loop),
      config_(std::move(config)),
      logger_(std::move(logger)),
      has_node_(loop),
      alive_(std::make_shared<EmbeddedRegistry*>(this)),
      log_(std::move(log)) {}

EmbeddedRegistry::~EmbeddedRegistry() {
    log_->shutdown();
    *alive_ = nullptr;
}

Result<> EmbeddedRegistry::replay() {
    auto state = log_->load();
    if (!state) return std::move(state).error();
    if (state->snapshot) {
        auto restored = catalog::Catalog::decode_state(state->snapshot->bytes);
        if (!restored) return std::move(restored).error();
        catalog_ = *std::move(restored);
        applied_seq_ = snapshot_seq_ = state->snapshot->up_to_seq;
    }
    for (const store::StoredEntry& entry : state->entries) {
        auto command = catalog::decode_command(entry.bytes);
        if (!command) return std::move(command).error();
        // What was refused when it was written is refused again.
        (void)catalog_.apply(*std::move(command));
        applied_seq_ = entry.seq;
    }
    timers_.restart(catalog_, loop_.now());
    session_timers_.restart(catalog_, loop_.now());
    return Ok{};
}

Result<> EmbeddedRegistry::ready(catalog::Command& command) const {
    if (auto prepared = catalog::prepare(command, config_.deregister_after_min); !prepared) {
        return prepared;
    }
    if (!config_.exec_checks && registers_program(command)) {
        return Error{
            .code = Code::invalid,
            .what =
                "Invalid check: scripts are disabled on this agent; use an HTTP, TCP, gRPC or "
                "TTL check",
            .source = Source::downstream
        };
    }
    return catalog_.check(command);
}

Result<> EmbeddedRegistry::room() const {
    if (queue_.size() < config_.queued_commands_max) return Ok{};
    return Error{
        .code = Code::exhausted,
        .what = fmt::format("{} changes wait to be written already", queue_.size()),
        .source = Source::registry,
        .retryable = true,
    };
}

Result<> EmbeddedRegistry::report(catalog::UpdateCheck result) {
    catalog::Command command = std::move(result);
    if (auto verdict = ready(command); !verdict) return verdict;
    if (!timers_.report(catalog_, std::get<catalog::UpdateCheck>(command), loop_.now())) {
        run_due();
        return Ok{};
    }
    if (auto verdict = room(); !verdict) return verdict;
    enqueue(std::move(command));
    return Ok{};
}

io::Task<Result<catalog::Applied>> EmbeddedRegistry::execute(
    catalog::Command command, Instant deadline
) {
    const bool has_node = co_await has_node_.wait(deadline);
    if (!has_node) co_return too_late();
    if (auto verdict = ready(command); !verdict) co_return std::move(verdict).error();
    if (const auto* result = std::get_if<catalog::UpdateCheck>(&command)) {
        const bool needs_log = timers_.report(catalog_, *result, loop_.now());
        if (!needs_log) {
            run_due();
            co_return catalog::Applied{.index = catalog_.index()};
        }
    }
    if (const auto* renewal = std::get_if<catalog::RenewSession>(&command)) {
        if (session_timers_.renew(renewal->session_id, loop_.now())) {
            run_due();
            co_return catalog::Applied{.index = catalog_.index()};
        }
    }
    if (auto verdict = room(); !verdict) co_return std::move(verdict).error();
    const PendingPtr pending = enqueue(std::move(command));
    const bool finished = co_await pending->done.wait(deadline);
    if (!finished) co_return too_late();
    co_return *std::move(pending->result);
}

io::Task<Result<>> EmbeddedRegistry::wait(
    catalog::WatchKey key, std::uint64_t index, Instant until
) {
    const catalog::WaitToken token = next_token_++;
    auto subscribed = waiters_.subscribe(catalog_, std::move(key), index, token);
    if (!subscribed) co_return std::move(subscribed).error();
    if (*subscribed == catalog::WaiterTable::Subscribed::ready) co_return Ok{};
    Waiting waiting(*this, token);
    co_await waiting.event.wait(until);
    co_return Ok{};
}

EmbeddedRegistry::PendingPtr EmbeddedRegistry::enqueue(catalog::Command command) {
    queue_.push_back(std::make_shared<Pending>(loop_, std::move(command)));
    if (!is_writing_) loop_.make_ready(flush_);
    return queue_.back();
}

void EmbeddedRegistry::flush() {
    if (is_writing_ || queue_.empty()) return;
    is_writing_ = true;
    writing_ = std::exchange(queue_, {});
    std::vector<std::string> records;
    records.reserve(writing_.size());
    for (const PendingPtr& pending : writing_) records.push_back(catalog::encode(pending->command));
    auto taken = log_->append(
        std::move(records),
        [&loop = loop_, alive = alive_](Result<std::uint64_t> last_seq) {
            loop.post([alive, last_seq = std::move(last_seq)]() mutable {
                if (*alive != nullptr) (*alive)->on_written(std::move(last_seq));
            });
        }
    );
    if (!taken) on_written(std::move(taken).error());
}

void EmbeddedRegistry::on_written(Result<std::uint64_t> last_seq) {
    is_writing_ = false;
    const std::vector<PendingPtr> written = std::exchange(writing_, {});
    if (last_seq) {
        if (!write_problem_.empty()) logger_.info("the registry writes again");
        write_problem_.clear();
        for (const PendingPtr& pending : written) apply(*pending);
        applied_seq_ = *last_seq;
        run_due();
        maybe_snapshot();
    } else {
        if (write_problem_.empty()) {
            logger_.error("the registry cannot write", {{"error", last_seq.error().what}});
        }
        write_problem_ = last_seq.error().what;
        Error error{
            .code = Code::unavailable,
            .what = fmt::format("the registry cannot write: {}", last_seq.error().what),
            .source = Source::registry,
            .retryable = true,
        };
        for (const PendingPtr& pending : written) {
            pending->result = error;
            pending->done.set();
        }
        // Without its first entry nothing can be accepted; try again when somebody asks.
        if (catalog_.local() == nullptr) {
            catalog::Command node = catalog::SetLocalNode{config_.node};
            due_.cancel();
            queue_.push_back(std::make_shared<Pending>(loop_, std::move(node)));
            loop_.timers().arm(due_, loop_.now() + catalog::CheckTimers::kRetry);
            return;
        }
    }
    if (!queue_.empty()) loop_.make_ready(flush_);
}

void EmbeddedRegistry::apply(Pending& pending) {
    auto outcome = catalog_.apply(std::move(pending.command));
    pending.done.set(
    );  // before the waiters: a thousand of them must not delay the writer's answer
    if (outcome) {
        if (catalog_.local() != nullptr) has_node_.set();
        timers_.sync(catalog_, outcome->local_checks, loop_.now());
        session_timers_.sync(catalog_, *outcome, loop_.now());
        wake(waiters_.wake(catalog_, outcome->touched));
        if (checks_changed_ && !outcome->local_checks.empty()) {
            checks_changed_(outcome->local_checks);
        }
    }
    pending.result = std::move(outcome);
}

void EmbeddedRegistry::wake(const std::vector<catalog::WaitToken>& tokens) {
    to_wake_.insert(to_wake_.end(), tokens.begin(), tokens.end());
    if (!to_wake_.empty()) loop_.make_ready(waker_);
}

void EmbeddedRegistry::wake_some() {
    for (std::size_t woken = 0; woken < kWokenAtOnce && !to_wake_.empty();) {
        const auto found = waiting_.find(to_wake_.front());
        to_wake_.pop_front();
        if (found == waiting_.end()) continue;  // its wait was over before its turn came
        found->second->set();
        waiting_.erase(found);
        ++woken;
    }
    if (!to_wake_.empty()) loop_.make_ready(waker_);
}

void EmbeddedRegistry::end_waits() {
    std::vector<catalog::WaitToken> tokens;
    for (const auto& [token, event] : waiting_) tokens.push_back(token);
    for (const catalog::WaitToken token : tokens) waiters_.unsubscribe(token);
    wake(tokens);
}

void EmbeddedRegistry::run_due() {
    catalog::CheckTimers::Due due = timers_.due(catalog_, loop_.now());
    for (catalog::Command& command : due.commands) enqueue(std::move(command));
    catalog::SessionTimers::Due sessions = session_timers_.due(loop_.now());
    for (catalog::Command& command : sessions.commands) enqueue(std::move(command));
    loop_.timers().arm(due_, std::min(due.next, sessions.next));
    if (!queue_.empty() && !is_writing_) loop_.make_ready(flush_);
}

void EmbeddedRegistry::maybe_snapshot() {
    if (is_snapshotting_ || applied_seq_ - snapshot_seq_ < config_.snapshot_after_entries) return;
    is_snapshotting_ = true;
    const std::uint64_t up_to = applied_seq_;
    auto taken = log_->write_snapshot(
        catalog_.encode_state(),
        up_to,
        [&loop = loop_, alive = alive_, up_to](Result<> result) {
            loop.post([alive, up_to, result = std::move(result)] {
                if (*alive == nullptr) return;
                EmbeddedRegistry& self = **alive;
                self.is_snapshotting_ = false;
                if (result) {
                    self.snapshot_seq_ = up_to;
                } else {
                    self.logger_.warn("no snapshot written", {{"error", result.error().what}});
                }
            });
        }
    );
    if (!taken) is_snapshotting_ = false;
}

}  // namespace datapunk::mesh::registry::embedded
