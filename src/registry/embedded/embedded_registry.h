#pragma once

// EmbeddedRegistry: the registry in this process: catalog, timers, waiters and the log behind them.
//
//     execute(command) ─ prepare, check ─> queue ─ end of the turn ─> log ── durable ─┐
//         ▲                                                                          │ posted
//         └── answer <── waiters woken <── timers.sync <── catalog.apply <───────────┘
//
// A command is applied only after it is durable, so nobody ever reads what a crash could take back.
// Group commit: what comes while one fsync runs shares the next; order is the order of execute().
// If the log cannot write, commands answer an error and the catalog stays readable (fail static).
//
// One loop's object; the log calls back on a thread of its own, which only posts to the loop. The
// loop must outlive it.

#include <datapunk/mesh/result.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "catalog/catalog.h"
#include "catalog/limits.h"
#include "catalog/session_timers.h"
#include "catalog/timers.h"
#include "core/log.h"
#include "io/loop.h"
#include "io/task.h"
#include "store/command_log.h"

namespace datapunk::mesh::registry::embedded {

struct EmbeddedConfig {
    catalog::NodeRow node;  // name and address are needed
    // Shorter deregister_after of checks are raised to this. Consul's minute by default; less only
    // for demonstrations and tests.
    Duration deregister_after_min = catalog::kDeregisterAfterMin;
    std::size_t queued_commands_max = 65'536;  // beyond: refused, as the log is too slow
    std::uint64_t snapshot_after_entries = store::kSnapshotAfterEntries;
    // Whether checks that run programs may be registered: whoever may register could then run
    // anything as this process's user.
    bool exec_checks = false;
};

class EmbeddedRegistry {
  public:
    using ChecksChanged = std::function<void(const std::vector<std::string>& check_ids)>;

    // Replays the log. An error means that the stored state is damaged or of another node.
    [[nodiscard]] static Result<std::unique_ptr<EmbeddedRegistry>> open(
        io::Loop& loop,
        std::unique_ptr<store::CommandLog> log,
        EmbeddedConfig config,
        core::Logger logger
    );
    EmbeddedRegistry(const EmbeddedRegistry&) = delete;
    EmbeddedRegistry& operator=(const EmbeddedRegistry&) = delete;
    ~EmbeddedRegistry();

    // After the answer the change is durable and visible. Destroying the task does not withdraw a
    // command; code timeout means that it may still happen.
    io::Task<Result<catalog::Applied>> execute(catalog::Command command, Instant deadline);

    // A check's result, from our own prober: execute() without waiting, so that the results of one
    // turn are written together. Code::not_found: the check has gone.
    Result<> report(catalog::UpdateCheck result);

    // Whether it has a node, which every state has that was ever written; waits for it.
    auto begun(Instant deadline) { return has_node_.wait(deadline); }

    const catalog::Catalog& catalog() const noexcept { return catalog_; }

    // A local check's latest output, which the catalog may not have yet.
    std::string_view output(std::string_view check_id) const {
        return timers_.output(catalog_, check_id);
    }

    // Returns when the key's index is above `index`, or at `until`. Error: too many wait.
    io::Task<Result<>> wait(catalog::WatchKey key, std::uint64_t index, Instant until);

    // Everything that was acknowledged before this call, as a backup file (backup.h). Made beside
    // the loop; restoring it is the command RestoreState.
    io::Task<Result<std::string>> backup(Instant deadline);

    // Ends every wait that is under way, as if its time were up: before a shutdown.
    void end_waits();

    // Called after local checks appeared, changed or went, with their ids. One listener.
    void on_checks_changed(ChecksChanged listener) { checks_changed_ = std::move(listener); }

    io::Loop& loop() noexcept { return loop_; }

    std::size_t waiters() const noexcept { return waiters_.size(); }

    // Since the last write failed; empty while the log works.
    const std::string& write_problem() const noexcept { return write_problem_; }

  private:
    struct Pending;
    using PendingPtr = std::shared_ptr<Pending>;

    class Flush final : public io::Ready {
      public:
        explicit Flush(EmbeddedRegistry& owner) : registry(owner) {}

        void run() override { registry.flush(); }

        EmbeddedRegistry& registry;
    };

    // Wakes the waiters of a change in slices, one a turn: ten thousand of them must not keep the
    // loop from reading, writing and answering others.
    class Waker final : public io::Ready {
      public:
        explicit Waker(EmbeddedRegistry& owner) : registry(owner) {}

        void run() override { registry.wake_some(); }

        EmbeddedRegistry& registry;
    };

    class Due final : public io::Timer {
      public:
        explicit Due(EmbeddedRegistry& owner)
            : io::Timer([](io::Timer& timer) { static_cast<Due&>(timer).registry.run_due(); }),
              registry(owner) {}

        EmbeddedRegistry& registry;
    };

    class Waiting;

    EmbeddedRegistry(
        io::Loop& loop,
        std::unique_ptr<store::CommandLog> log,
        EmbeddedConfig config,
        core::Logger logger
    );
    Result<> replay();
    // Defaults, limits, and whether it may be done at all.
    Result<> ready(catalog::Command& command) const;
    Result<> room() const;
    PendingPtr enqueue(catalog::Command command);
    void flush();
    void on_written(Result<std::uint64_t> last_seq);
    void apply(Pending& pending);
    void wake(const std::vector<catalog::WaitToken>& tokens);
    void wake_some();
    void run_due();
    void on_restored();
    void maybe_snapshot();
    void write_snapshot(Result<std::string> bytes, std::uint64_t up_to_seq);
    void on_snapshot(Result<> result, std::uint64_t up_to_seq);

    io::Loop& loop_;
    EmbeddedConfig config_;
    core::Logger logger_;
    catalog::Catalog catalog_;
    catalog::CheckTimers timers_;
    catalog::SessionTimers session_timers_;
    catalog::WaiterTable waiters_;
    std::unordered_map<catalog::WaitToken, io::Event*> waiting_;
    std::deque<catalog::WaitToken> to_wake_;
    catalog::WaitToken next_token_ = 1;
    ChecksChanged checks_changed_;
    io::Event has_node_;  // commands wait for it: it is the log's first entry
    std::vector<PendingPtr> queue_;
    std::vector<PendingPtr> writing_;
    bool is_writing_ = false;
    std::string write_problem_;
    std::uint64_t applied_seq_ = 0;
    std::uint64_t snapshot_seq_ = 0;
    std::uint64_t snapshot_due_seq_ = 0;  // not before: the last one failed
    bool is_snapshotting_ = false;
    Flush flush_{*this};
    Waker waker_{*this};
    Due due_{*this};
    std::shared_ptr<EmbeddedRegistry*> alive_;  // what the log's callbacks hold; null when gone
    std::unique_ptr<store::CommandLog> log_;    // last: its thread ends before the rest
};

}  // namespace datapunk::mesh::registry::embedded
