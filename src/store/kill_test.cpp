// Processes killed at any moment (start, commit, snapshot, checkpoint), again and again on one
// state: every acknowledged record is there, in order, and nothing that was not written.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>

#include "core/rng.h"
#include "store/log_test_support.h"
#include "store/test_kill_points.h"

namespace datapunk::mesh::store {
namespace {

std::uint64_t seed_of_run() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
}

std::string record(std::uint64_t seq) {
    return fmt::format("record {} {}", seq, std::string(seq % 50, 'r'));
}

[[noreturn]] void fail(const Error& error) {
    fmt::print(stderr, "{}\n", error.what);
    ::_exit(2);
}

// Writes with several batches in flight and now and then a snapshot; reports each acknowledged seq.
[[noreturn]] void write_until_killed(const std::string& path, int acknowledged) {
    auto log = SqliteLog::open({.path = path});
    if (!log) fail(log.error());
    Result<StoredState> state = (*log)->load();
    if (!state) fail(state.error());
    std::uint64_t next = state->snapshot ? state->snapshot->up_to_seq + 1 : 1;
    next += state->entries.size();
    std::atomic<std::uint64_t> durable{next - 1};
    for (;; ++next) {
        while (next > durable + 16) std::this_thread::yield();
        (void)(*log)
            ->append(
                {record(next)},
                [&, acknowledged](const Result<std::uint64_t>& seq) {
                    if (!seq) ::_exit(3);
                    durable = *seq;
                    if (::write(acknowledged, &*seq, sizeof(*seq)) != sizeof(*seq)) ::_exit(4);
                }
            )
            .ok();
        if (next % 50 == 0) {
            const std::uint64_t up_to = durable;
            if (up_to == 0) continue;
            (void)(*log)
                ->write_snapshot(
                    fmt::format("state {}", up_to),
                    up_to,
                    [](const Result<>& done) {
                        if (!done) ::_exit(5);
                    }
                )
                .ok();
        }
    }
}

class KillTest : public testing::Test {
  public:
    // One process on the state, killed. Raises acknowledged_.
    void live_and_die() {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const bool by_call = rng_.chance(0.6);
        const auto call = static_cast<std::int64_t>(1 + rng_.below(rng_.chance(0.5) ? 12 : 250));
        const std::uint64_t answers = rng_.chance(0.3) ? 0 : rng_.below(150);
        const auto patience = static_cast<long>(rng_.below(4'000'000));  // of a start, in ns
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(ends[0]);
            if (by_call) kill_points::die_at(call);
            write_until_killed(path_, ends[1]);
        }
        ::close(ends[1]);
        std::uint64_t seq = 0;
        if (!by_call && answers == 0) {
            pollfd waiting{.fd = ends[0], .events = POLLIN, .revents = 0};
            const timespec time{.tv_sec = 0, .tv_nsec = patience};
            ::ppoll(&waiting, 1, &time, nullptr);
        }
        for (std::uint64_t got = 0; by_call || got < answers; ++got) {
            if (::read(ends[0], &seq, sizeof seq) != ssize_t{sizeof seq}) break;
            acknowledged_ = std::max(acknowledged_, seq);
        }
        if (!by_call) ::kill(child, SIGKILL);
        while (::read(ends[0], &seq, sizeof seq) > 0) acknowledged_ = std::max(acknowledged_, seq);
        ::close(ends[0]);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
    }

    // Looks at a copy: what the next process finds is what the last one left.
    void expect_everything_acknowledged() {
        const TemporaryDirectory copy;
        std::filesystem::copy(directory_.file(""), copy.file(""));
        if (acknowledged_ == 0 && !std::filesystem::exists(copy.file("registry.db"))) return;
        const Result<StoredState> state = loaded(copy.file("registry.db"));
        ASSERT_TRUE(state.ok()) << state.error().what;
        std::uint64_t expected = 1;
        if (state->snapshot) {
            ASSERT_EQ(state->snapshot->bytes, fmt::format("state {}", state->snapshot->up_to_seq));
            expected = state->snapshot->up_to_seq + 1;
        }
        for (const StoredEntry& entry : state->entries) {
            ASSERT_EQ(entry, (StoredEntry{expected, record(expected)}));
            ++expected;
        }
        ASSERT_GT(expected, acknowledged_);
    }

    std::uint64_t acknowledged_ = 0;
    core::Rng rng_{seed_of_run()};

  private:
    TemporaryDirectory directory_;
    std::string path_ = directory_.file("registry.db");
};

TEST_F(KillTest, AtAnyMomentNoAcknowledgedRecordIsLost) {
    SCOPED_TRACE(fmt::format("SEED={}", seed_of_run()));
    const int kills = kill_points::kills(60);
    for (int round = 0; round < kills; ++round) {
        SCOPED_TRACE(fmt::format("kill {}", round));
        live_and_die();
        expect_everything_acknowledged();
        if (HasFatalFailure()) return;
    }
    EXPECT_GT(acknowledged_, static_cast<std::uint64_t>(kills));
    RecordProperty("acknowledged", std::to_string(acknowledged_));
}

}  // namespace
}  // namespace datapunk::mesh::store
