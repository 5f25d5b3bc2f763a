#include "registry/embedded/embedded_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "registry/embedded/backup.h"

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

Result<std::string> encode_folded(Result<store::StoredState> state) {
    if (!state) return std::move(state).error();
    const auto catalog = fold(*std::move(state));
    if (!catalog) return catalog.error();
    return catalog->encode_state();
}

Result<std::string> backup_of(Result<store::StoredState> state, WallTime now) {
    if (!state) return std::move(state).error();
    const auto catalog = fold(*std::move(state));
    if (!catalog) return catalog.error();
    return encode_backup(*catalog, now);
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
    if (state->snapshot) applied_seq_ = snapshot_seq_ = state->snapshot->up_to_seq;
    if (!state->entries.empty()) applied_seq_ = state->entries.back().seq;
    auto folded = fold(*std::move(state));
    if (!folded) return std::move(folded).error();
    catalog_ = *std::move(folded);
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
    // Before the waiters: a thousand of them must not delay the writer's answer.
    pending.done.set();
    if (outcome) {
        if (catalog_.local() != nullptr) has_node_.set();
        timers_.sync(catalog_, outcome->local_checks, loop_.now());
        session_timers_.sync(catalog_, *outcome, loop_.now());
        wake(waiters_.wake(catalog_, outcome->touched));
        if (outcome->restored) on_restored();
        if (checks_changed_ && !outcome->local_checks.empty()) {
            checks_changed_(outcome->local_checks);
        }
    }
    pending.result = std::move(outcome);
}

void EmbeddedRegistry::on_restored() {
    timers_.restart(catalog_, loop_.now());
    session_timers_.restart(catalog_, loop_.now());
    wake(waiters_.wake_all());
    // The backup knows this node as it was then.
    enqueue(catalog::SetLocalNode{config_.node});
    logger_.warn("the state was restored from a backup", {{"index", catalog_.index()}});
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

// A snapshot is made of what the log has, on the log's thread: encoding the catalog here would keep
// the loop from everything else for milliseconds, and longer the more there is.
void EmbeddedRegistry::maybe_snapshot() {
    if (is_snapshotting_ || applied_seq_ < snapshot_due_seq_ ||
        applied_seq_ - snapshot_seq_ < config_.snapshot_after_entries) {
        return;
    }
    const std::uint64_t up_to = applied_seq_;
    auto taken = log_->read_back(
        up_to,
        [&loop = loop_, alive = alive_, up_to](Result<store::StoredState> state) {
            Result<std::string> bytes = encode_folded(std::move(state));
            loop.post([alive, up_to, bytes = std::move(bytes)]() mutable {
                if (*alive != nullptr) (*alive)->write_snapshot(std::move(bytes), up_to);
            });
        }
    );
    is_snapshotting_ = taken.ok();
    // A log in memory has nothing to shorten.
    if (!taken && taken.error().code == Code::not_found) snapshot_seq_ = up_to;
}

void EmbeddedRegistry::write_snapshot(Result<std::string> bytes, std::uint64_t up_to_seq) {
    if (!bytes) return on_snapshot(std::move(bytes).error(), up_to_seq);
    auto taken = log_->write_snapshot(
        *std::move(bytes),
        up_to_seq,
        [&loop = loop_, alive = alive_, up_to_seq](Result<> result) {
            loop.post([alive, up_to_seq, result = std::move(result)]() mutable {
                if (*alive != nullptr) (*alive)->on_snapshot(std::move(result), up_to_seq);
            });
        }
    );
    if (!taken) on_snapshot(std::move(taken), up_to_seq);
}

void EmbeddedRegistry::on_snapshot(Result<> result, std::uint64_t up_to_seq) {
    is_snapshotting_ = false;
    if (result) {
        snapshot_seq_ = up_to_seq;
        return;
    }
    // Not again at once: what fails now would fail at every write.
    snapshot_due_seq_ = applied_seq_ + config_.snapshot_after_entries / 10 + 1;
    logger_.warn("no snapshot written", {{"error", result.error().what}});
}

io::Task<Result<std::string>> EmbeddedRegistry::backup(Instant deadline) {
    struct Reading {
        explicit Reading(io::Loop& loop) : done(loop) {}

        Result<std::string> bytes = std::string();
        io::Event done;
    };
    const auto reading = std::make_shared<Reading>(loop_);
    const WallTime now = loop_.wall_now();
    auto taken = log_->read_back(
        applied_seq_,
        [&loop = loop_, alive = alive_, reading, now](Result<store::StoredState> state) mutable {
            Result<std::string> bytes = backup_of(std::move(state), now);
            loop.post([alive, reading = std::move(reading), bytes = std::move(bytes)]() mutable {
                if (*alive == nullptr) return;
                reading->bytes = std::move(bytes);
                reading->done.set();
            });
        }
    );
    if (!taken && taken.error().code == Code::not_found) co_return encode_backup(catalog_, now);
    if (!taken) co_return std::move(taken).error();
    const bool finished = co_await reading->done.wait(deadline);
    if (!finished) {
        co_return Error{
            .code = Code::timeout,
            .what = "the snapshot was not made in time",
            .source = Source::registry,
            .retryable = true,
        };
    }
    co_return std::move(reading->bytes);
}

}  // namespace datapunk::mesh::registry::embedded
