// The whole registry killed at any moment, again and again on one state: what it finds afterwards
// is a prefix of what was asked, with every acknowledged change in it, and an index that never goes
// back.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "core/rng.h"
#include "core/strings.h"
#include "io/epoll_loop.h"
#include "registry/embedded/embedded_registry.h"
#include "registry/embedded/open_log.h"
#include "store/log_test_support.h"
#include "store/test_kill_points.h"

namespace datapunk::mesh::registry::embedded {
namespace {

namespace kill_points = store::kill_points;

// Change number n is a pure function of n: even ones write a key, odd ones register an instance.
constexpr std::uint64_t kKeys = 20;
constexpr std::uint64_t kInstances = 10;

std::string key_of(std::uint64_t n) {
    return fmt::format("key{}", n % kKeys);
}

std::string instance_of(std::uint64_t n) {
    return fmt::format("instance{}", n % kInstances);
}

catalog::Command change(std::uint64_t n) {
    if (n % 2 == 0) {
        catalog::KvPut put;
        put.key = key_of(n);
        put.value = fmt::format("{}", n);
        return put;
    }
    catalog::RegisterService add;
    add.service.name = "api";
    add.service.id = instance_of(n);
    add.service.address = "127.0.0.1";
    add.service.port = 80;
    add.service.meta = {{"n", fmt::format("{}", n)}};
    return add;
}

std::uint64_t number(std::string_view text) {
    return core::parse_number<std::uint64_t>(text).value_or(0);
}

// The last change of this slot that the catalog has.
std::uint64_t found(const catalog::Catalog& catalog, std::uint64_t n) {
    if (n % 2 == 0) {
        const auto* row = catalog.kv_get(key_of(n)).data;
        return row == nullptr ? 0 : number(row->value);
    }
    const auto* instance = catalog.agent_service(instance_of(n));
    return instance == nullptr ? 0 : number(instance->row.meta.at("n"));
}

std::uint64_t last_change(const catalog::Catalog& catalog) {
    std::uint64_t last = 0;
    for (std::uint64_t slot = 0; slot < kKeys; ++slot) last = std::max(last, found(catalog, slot));
    return last;
}

struct Acknowledged {
    std::uint64_t change = 0;
    std::uint64_t index = 0;
};

Result<std::unique_ptr<EmbeddedRegistry>> open_registry(io::Loop& loop, const std::string& path) {
    auto log = open_command_log(path);
    if (!log) return std::move(log).error();
    EmbeddedConfig config;
    config.node.name = "here";
    config.node.address = "127.0.0.1";
    config.snapshot_after_entries = 60;
    return EmbeddedRegistry::open(loop, *std::move(log), config, core::Logger());
}

io::Task<void> write_forever(EmbeddedRegistry* registry, std::uint64_t* next, int acknowledged) {
    for (;;) {
        Acknowledged said{.change = (*next)++};
        catalog::Command command = change(said.change);
        const Instant deadline = registry->loop().now() + std::chrono::minutes(1);
        auto done = co_await registry->execute(std::move(command), deadline);
        if (!done) ::_exit(3);
        said.index = done->index;
        if (::write(acknowledged, &said, sizeof said) != sizeof said) ::_exit(4);
    }
}

[[noreturn]] void serve_until_killed(const std::string& path, int acknowledged) {
    auto loop = io::EpollLoop::create();
    if (!loop) ::_exit(1);
    auto registry = open_registry(**loop, path);
    if (!registry) {
        fmt::print(stderr, "{}\n", registry.error().what);
        ::_exit(2);
    }
    std::uint64_t next = last_change((*registry)->catalog()) + 1;
    io::TaskGroup writers;
    for (int i = 0; i < 8; ++i) writers.spawn(write_forever(registry->get(), &next, acknowledged));
    for (;;) (*loop)->turn(kNever);
}

class EmbeddedKill : public testing::Test {
  public:
    void live_and_die() {
        std::array<int, 2> ends{};
        ASSERT_EQ(::pipe(ends.data()), 0);
        const bool by_call = rng_.chance(0.6);
        const auto call = static_cast<std::int64_t>(1 + rng_.below(rng_.chance(0.5) ? 12 : 200));
        const std::uint64_t answers = rng_.chance(0.3) ? 0 : rng_.below(150);
        const auto patience = static_cast<long>(rng_.below(6'000'000));  // of a start, in ns
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(ends[0]);
            if (by_call) kill_points::die_at(call);
            serve_until_killed(path(), ends[1]);
        }
        ::close(ends[1]);
        if (!by_call && answers == 0) {
            pollfd waiting{.fd = ends[0], .events = POLLIN, .revents = 0};
            const timespec time{.tv_sec = 0, .tv_nsec = patience};
            ::ppoll(&waiting, 1, &time, nullptr);
        }
        Acknowledged said;
        const auto more = [&] {
            if (::read(ends[0], &said, sizeof said) != ssize_t{sizeof said}) return false;
            if (said.change > last_.change) last_ = said;
            return true;
        };
        for (std::uint64_t got = 0; (by_call || got < answers) && more(); ++got) continue;
        if (!by_call) ::kill(child, SIGKILL);
        while (more()) continue;
        ::close(ends[0]);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
    }

    // Looks at a copy: what the next process finds is what the last one left.
    void expect_a_prefix_with_everything_acknowledged() {
        const store::TemporaryDirectory copy;
        if (!std::filesystem::exists(path())) return;
        std::filesystem::copy(path(), copy.file(""));
        const auto loop = *io::EpollLoop::create();
        auto registry = open_registry(*loop, copy.file(""));
        ASSERT_TRUE(registry) << registry.error().what;
        const catalog::Catalog& catalog = (*registry)->catalog();
        const std::uint64_t last = last_change(catalog);
        ASSERT_GE(last, last_.change);
        for (std::uint64_t n = last; n > 0 && n + kKeys > last; --n) {
            const std::uint64_t newest = n % 2 == 1 && n + kInstances <= last ? n + kInstances : n;
            ASSERT_EQ(found(catalog, n), newest) << "of " << last;
        }
        // Each change is one step.
        if (last_.change > 0) {
            ASSERT_EQ(catalog.index(), last_.index + last - last_.change);
        }
    }

    Acknowledged last_;
    core::Rng rng_{20261121};

  private:
    std::string path() const { return directory_.file("state"); }

    store::TemporaryDirectory directory_;
};

TEST_F(EmbeddedKill, AtAnyMomentNoAcknowledgedChangeIsLostAndTheIndexGoesOn) {
    const int kills = kill_points::kills(40);
    for (int round = 0; round < kills; ++round) {
        SCOPED_TRACE(fmt::format("kill {}", round));
        live_and_die();
        expect_a_prefix_with_everything_acknowledged();
        if (HasFatalFailure()) return;
    }
    EXPECT_GT(last_.change, static_cast<std::uint64_t>(kills));
}

}  // namespace
}  // namespace datapunk::mesh::registry::embedded
