// mesh_load: what a registry's clients feel, through the library: bench/registry.py runs it against
// `dpmesh registry`. One line of JSON on standard output.
//
//     mesh_load PORT picker ROUNDS DIRECTORY     from register_service() in one mesh to the moment
//                                                when another one's picker gives the newcomer out,
//                                                beside an fsync in DIRECTORY
//     mesh_load PORT change ENDPOINTS ROUNDS     the CPU that one change in a service of so many
//                                                costs a mesh that calls and watches it, all of it:
//                                                the answer read and decoded, the difference, the
//                                                policies, the picker, and the old set freed

#include <datapunk/mesh/mesh.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http_load.h"
#include "registry_requests.h"

namespace datapunk::mesh::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

template <class T>
T good(Result<T> result, std::string_view what) {
    if (result) return *std::move(result);
    fmt::print(stderr, "mesh_load: {}: {}\n", what, result.error().what);
    std::exit(1);
}

ServiceMesh mesh_at(std::uint16_t port) {
    return good(ServiceMesh::create({.registry = Consul{.port = port}}), "a mesh");
}

// What a watch has heard, for another thread to wait for.
class Ear {
  public:
    void hear(const EndpointChange& change) {
        const std::lock_guard lock(mutex_);
        all_ = change.all;
        ++calls_;
        heard_.notify_all();
    }

    template <class Wanted>
    void until(std::string_view what, Wanted wanted) {
        std::unique_lock lock(mutex_);
        const bool came =
            heard_.wait_for(lock, seconds(30), [&] { return all_ != nullptr && wanted(*all_); });
        if (came) return;
        fmt::print(stderr, "mesh_load: {}: not in time\n", what);
        std::exit(1);
    }

    std::uint64_t calls() {
        const std::lock_guard lock(mutex_);
        return calls_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable heard_;
    EndpointSetPtr all_;
    std::uint64_t calls_ = 0;
};

constexpr std::size_t kResident = 9;  // so that one that comes or goes is no great loss
// Longer than what bounds a client's questions about one service (queries_per_second).
constexpr milliseconds kBetween{120};

ServiceConfig instance(std::uint16_t port) {
    ServiceConfig config{.name = "picked", .host = "127.0.0.1", .port = port};
    config.check.kind = HealthCheck::Kind::none;
    return config;
}

// Of ten endpoints the newcomer is given out within ten turns.
bool is_picked(const Service& service, std::uint16_t port) {
    for (std::size_t i = 0; i <= kResident; ++i) {
        auto lease = service.get_service_instance();
        if (!lease) return false;
        const bool is_it = lease->endpoint().port == port;
        lease->report(Outcome::success);
        if (is_it) return true;
    }
    return false;
}

void picker(std::uint16_t port, std::uint64_t rounds, const std::string& directory) {
    FsyncClock fsync(directory);
    ServiceMesh ours = mesh_at(port);
    ServiceMesh theirs = mesh_at(port);
    std::vector<ServiceRegistration> residents;
    for (std::size_t i = 0; i < kResident; ++i) {
        const auto at = static_cast<std::uint16_t>(1000 + i);
        residents.push_back(good(ours.register_service(instance(at)), "a resident"));
    }
    ServicePolicy policy;
    policy.balance = RoundRobin{};
    const Service service = good(theirs.service("picked", policy), "the service");
    Ear ear;
    const Watch watch =
        good(theirs.watch_service("picked", [&](const auto& c) { ear.hear(c); }), "the watch");
    const auto has = [](std::size_t count) {
        return [count](const EndpointSet& set) { return set.endpoints.size() == count; };
    };
    ear.until("the residents", has(kResident));
    std::vector<double> called;
    std::vector<double> picked;
    std::vector<double> synced;
    std::vector<double> beyond;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        std::this_thread::sleep_for(kBetween);
        const auto at = static_cast<std::uint16_t>(2000 + round);
        synced.push_back(fsync.milliseconds());
        Clock::time_point end;
        const Clock::time_point start = Clock::now();
        std::thread caller([&] {
            ear.until("the newcomer", has(kResident + 1));
            while (!is_picked(service, at)) std::this_thread::yield();
            end = Clock::now();
        });
        ServiceRegistration newcomer = good(ours.register_service(instance(at)), "a newcomer");
        called.push_back(in_ms(Clock::now() - start));
        caller.join();
        picked.push_back(in_ms(end - start));
        beyond.push_back(picked.back() - synced.back());
        std::this_thread::sleep_for(kBetween);
        (void)good(newcomer.deregister(), "a deregistration");
        ear.until("its end", has(kResident));
    }
    fmt::print(R"({{{},"fsync":{{{}}},)", times(picked), times(synced));
    fmt::print("\"beyond_fsync\":{{{}}},\"call\":{{{}}}}}\n", times(beyond), times(called));
}

double cpu_ms(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// Of the mesh's threads: all but this one.
double cpu_of_mesh() {
    return cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu_ms(CLOCK_THREAD_CPUTIME_ID);
}

void fill(HttpLoad& load, std::uint64_t count) {
    std::uint64_t sent = 0;
    std::uint64_t done = 0;
    const auto next = [&](std::size_t client) {
        if (sent < count) load.send(client, registration("wide", sent++));
    };
    for (std::size_t i = 0; i < 64; ++i) next(load.connect());
    const bool is_done = load.run(
        [&](std::size_t client, const LoadAnswer& answer) {
            expect_ok(answer, "a registration");
            ++done;
            next(client);
        },
        [&] { return done == count; },
        Clock::now() + seconds(300)
    );
    if (!is_done) std::exit(1);
}

void change(std::uint16_t port, std::uint64_t endpoints, std::uint64_t rounds) {
    HttpLoad load(port);
    fill(load, endpoints);
    const std::uint64_t bytes = load.ask(0, health("wide")).body_bytes;
    ServiceMesh mesh = mesh_at(port);
    const Service service = good(mesh.service("wide"), "the service");
    Ear ear;
    const Watch watch =
        good(mesh.watch_service("wide", [&](const auto& c) { ear.hear(c); }), "the watch");
    ear.until("all of them", [&](const EndpointSet& set) {
        return set.endpoints.size() == endpoints;
    });
    std::vector<double> idle;
    std::vector<double> spent;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        // Not in step with what it does each second.
        std::this_thread::sleep_for(milliseconds(round * 137 % 1000));
        // What it does anyway, in as long a time.
        const double before_idle = cpu_of_mesh();
        std::this_thread::sleep_for(2 * kBetween);
        const double before = cpu_of_mesh();
        const std::uint64_t calls = ear.calls();
        expect_ok(load.ask(0, flip("wide", endpoints / 2, round % 2 == 1)), "a flip");
        ear.until("a change", [&](const EndpointSet& set) {
            const Health now = round % 2 == 1 ? Health::passing : Health::warning;
            const auto* one = set.find(fmt::format("wide-{}", endpoints / 2));
            return one != nullptr && one->health == now;
        });
        std::this_thread::sleep_for(2 * kBetween);
        if (ear.calls() != calls + 1) std::exit(1);
        idle.push_back(before - before_idle);
        spent.push_back(cpu_of_mesh() - before);
    }
    auto lease = service.get_service_instance();
    if (!lease) std::exit(1);
    lease->report(Outcome::success);
    fmt::print(R"({{"endpoints":{},"bytes":{},)", endpoints, bytes);
    fmt::print("{},\"idle\":{{{}}}}}\n", times(spent), times(idle));
}

int run(int count, char** words) {
    if (count < 5) {
        fmt::print(stderr, "mesh_load PORT MODE ... (see the head of its source)\n");
        return 2;
    }
    const auto number = [&](int at) { return std::strtoull(words[at], nullptr, 10); };
    const auto port = static_cast<std::uint16_t>(number(1));
    const std::string mode = words[2];
    if (mode == "picker") {
        picker(port, number(3), words[4]);
    } else if (mode == "change") {
        change(port, number(3), number(4));
    } else {
        fmt::print(stderr, "mesh_load: no mode {}\n", mode);
        return 2;
    }
    return 0;
}

}  // namespace
}  // namespace datapunk::mesh::load

int main(int count, char** words) {
    return datapunk::mesh::load::run(count, words);
}
