// registry_load: what a registry with Consul's HTTP API can do, ours or Consul: bench/registry.py
// starts both and runs this against each. One line of JSON on standard output.
//
//     registry_load PORT fanout WATCHERS INSTANCES ROUNDS [PID]  (PID: the server, for its CPU
//     time) registry_load PORT register CLIENTS SECONDS registry_load PORT query CLIENTS INSTANCES
//     SECONDS registry_load PORT latency ROUNDS DIRECTORY      (also fsyncs a file there, for
//     comparison) registry_load PORT fill SERVICES INSTANCES CLIENTS registry_load PORT storm
//     CLIENTS SECONDS registry_load PORT herd WATCHERS

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "http_load.h"
#include "registry_requests.h"

namespace datapunk::mesh::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What this process (0) or another one has used so far, in us.
double cpu_us(std::uint64_t pid) {
    const std::string process = pid == 0 ? std::string("self") : std::to_string(pid);
    double sum = 0;
    std::error_code ignored;
    // The kernel's clock ticks are 10 ms; here are nanoseconds, of each thread.
    for (const auto& thread :
         std::filesystem::directory_iterator("/proc/" + process + "/task", ignored)) {
        std::ifstream file(thread.path() / "schedstat");
        double nanoseconds = 0;
        if (file >> nanoseconds) sum += nanoseconds / 1000;
    }
    return sum;
}

// One check flips while so many wait: when does each have the answer?
void fanout(std::uint16_t port, std::span<const std::uint64_t> arguments) {
    const std::uint64_t watchers = arguments[0];
    const std::uint64_t instances = arguments[1];
    HttpLoad load(port);
    const std::size_t control = load.connect();
    const std::string service = fmt::format("fan{}-{}", instances, ::getpid());
    add_instances(load, control, service, instances);
    std::vector<std::size_t> waiting;
    for (std::uint64_t i = 0; i < watchers; ++i) waiting.push_back(load.connect());
    for (std::uint64_t round = 0; round < arguments[2]; ++round) {
        const LoadAnswer before = load.ask(control, health(service));
        expect_ok(before, "a query");
        for (const std::size_t watcher : waiting) load.send(watcher, health(service, before.index));
        std::uint64_t early = 0;
        // Until all of them are blocked; nobody may be answered meanwhile.
        load.run(
            [&](std::size_t, const LoadAnswer&) { ++early; },
            [] { return false; },
            Clock::now() + milliseconds(500 + watchers / 4)
        );
        std::vector<double> took;
        std::uint64_t bad = early;
        std::uint64_t bytes = 0;
        double acknowledged = -1;
        const double server_before = cpu_us(arguments[3]);
        const double own_before = cpu_us(0);
        const Clock::time_point start = Clock::now();
        load.send(control, flip(service, 0, round % 2 == 1));
        load.run(
            [&](std::size_t connection, const LoadAnswer& answer) {
                const double after = in_ms(answer.at - start);
                if (connection == control) {
                    acknowledged = after;
                    return;
                }
                if (answer.status != 200 || answer.index <= before.index) ++bad;
                bytes = answer.body_bytes;
                took.push_back(after);
            },
            [&] { return took.size() == watchers - early && acknowledged >= 0; },
            start + seconds(60)
        );
        const double own = cpu_us(0) - own_before;
        const double server = arguments[3] == 0 ? 0 : cpu_us(arguments[3]) - server_before;
        bad += watchers - early - took.size();
        fmt::print(
            R"({{"watchers":{},"instances":{},"bytes":{},"bad":{},"acknowledged":{:.3f},)"
            R"("server_cpu_us":{:.2f},"load_cpu_us":{:.2f},{}}})"
            "\n",
            watchers,
            instances,
            bytes,
            bad,
            acknowledged,
            server / static_cast<double>(watchers),
            own / static_cast<double>(watchers),
            times(took)
        );
        std::fflush(stdout);
        if (bad > 0) std::exit(1);
    }
}

// Closed loops: each connection sends its next request when the last is answered.
template <class Next>
void closed_loops(std::uint16_t port, std::uint64_t clients, seconds length, Next next) {
    HttpLoad load(port);
    std::vector<Clock::time_point> sent(clients);
    std::vector<double> took;
    std::uint64_t bad = 0;
    std::uint64_t open = 0;
    for (std::uint64_t i = 0; i < clients; ++i) (void)load.connect();
    const Clock::time_point start = Clock::now();
    const Clock::time_point end = start + length;
    for (std::uint64_t i = 0; i < clients; ++i, ++open) {
        sent[i] = Clock::now();
        load.send(i, next(i));
    }
    Clock::time_point last = start;
    load.run(
        [&](std::size_t client, const LoadAnswer& answer) {
            took.push_back(in_ms(answer.at - sent[client]));
            if (answer.status != 200) ++bad;
            last = answer.at;
            if (answer.at >= end) {
                --open;
                return;
            }
            sent[client] = answer.at;
            load.send(client, next(client));
        },
        [&] { return open == 0 || load.failures() > 0; },
        end + seconds(30)
    );
    const double rate = static_cast<double>(took.size()) * 1000 / in_ms(last - start);
    fmt::print(
        "{{\"clients\":{},\"per_second\":{:.1f},\"bad\":{},{}}}\n",
        clients,
        rate,
        bad + load.failures(),
        times(took)
    );
    if (bad + load.failures() > 0) std::exit(1);
}

// Every registration changes something: 1,000 instances in turn, each time with another version.
void register_rate(std::uint16_t port, std::span<const std::uint64_t> arguments) {
    std::uint64_t count = 0;
    closed_loops(port, arguments[0], seconds(arguments[1]), [&](std::uint64_t) {
        const std::uint64_t n = count++;
        return registration(fmt::format("rate{}", n % 100), n / 100 % 10, n / 1000);
    });
}

void query_rate(std::uint16_t port, std::span<const std::uint64_t> arguments) {
    {
        HttpLoad load(port);
        add_instances(load, load.connect(), "asked", arguments[1]);
    }
    const std::string request = health("asked");
    closed_loops(port, arguments[0], seconds(arguments[2]), [&](std::uint64_t) { return request; });
}

// From a registration sent to the waiting watcher's answer, beside what an fsync takes right now.
void latency(std::uint16_t port, std::uint64_t rounds, const std::string& directory) {
    FsyncClock fsync(directory);
    HttpLoad load(port);
    const std::size_t control = load.connect();
    const std::size_t watcher = load.connect();
    add_instances(load, control, "late", 10);
    std::vector<double> seen;
    std::vector<double> synced;
    std::vector<double> beyond;
    for (std::uint64_t round = 1; round <= rounds; ++round) {
        const LoadAnswer before = load.ask(control, health("late"));
        load.send(watcher, health("late", before.index));
        std::this_thread::sleep_for(milliseconds(5));
        synced.push_back(fsync.milliseconds());
        int answers = 0;
        double took = 0;
        const Clock::time_point start = Clock::now();
        load.send(control, registration("late", round % 10, round));
        load.run(
            [&](std::size_t connection, const LoadAnswer& answer) {
                expect_ok(answer, "a registration or its watcher");
                if (connection == watcher) took = in_ms(answer.at - start);
                ++answers;
            },
            [&] { return answers == 2; },
            start + seconds(10)
        );
        seen.push_back(took);
        beyond.push_back(took - synced.back());
    }
    const std::string fsyncs = times(synced);
    fmt::print(R"({{{},"fsync":{{{}}},)", times(seen), fsyncs);
    fmt::print("\"beyond_fsync\":{{{}}}}}\n", times(beyond));
}

void fill(std::uint16_t port, std::span<const std::uint64_t> arguments) {
    const std::uint64_t services = arguments[0];
    const std::uint64_t instances = arguments[1];
    const std::uint64_t clients = arguments[2];
    HttpLoad load(port);
    for (std::uint64_t i = 0; i < clients; ++i) (void)load.connect();
    std::uint64_t sent = 0;
    std::uint64_t done = 0;
    const std::uint64_t all = services * instances;
    const auto next = [&](std::size_t client) {
        if (sent == all) return;
        const std::uint64_t n = sent++;
        load.send(client, registration(fmt::format("service{}", n / instances), n % instances));
    };
    const Clock::time_point start = Clock::now();
    for (std::uint64_t i = 0; i < clients; ++i) next(i);
    load.run(
        [&](std::size_t client, const LoadAnswer& answer) {
            expect_ok(answer, "a registration");
            ++done;
            next(client);
        },
        [&] { return done == all || load.failures() > 0; },
        start + seconds(600)
    );
    const double took = in_ms(Clock::now() - start);
    fmt::print(
        "{{\"instances\":{},\"per_second\":{:.1f}}}\n",
        done,
        static_cast<double>(done) * 1000 / took
    );
    if (done != all) std::exit(1);
}

// So many new clients within so long, each registering once over a connection of its own, on a
// schedule that does not wait for answers. A probe asks for a service every 10 ms meanwhile.
void storm(std::uint16_t port, std::span<const std::uint64_t> arguments) {
    const std::uint64_t clients = arguments[0];
    const Clock::duration length = seconds(arguments[1]);
    HttpLoad load(port);
    const std::size_t probe = load.connect();
    add_instances(load, probe, "probed", 10);
    std::map<std::size_t, Clock::time_point> due;
    std::vector<double> registered;
    std::vector<double> probed;
    bool is_probing = false;
    std::uint64_t bad = 0;
    std::uint64_t sent = 0;
    const Clock::time_point start = Clock::now();
    Clock::time_point next_probe = start;
    Clock::time_point probe_due = start;
    while (registered.size() + bad < clients && Clock::now() < start + length + seconds(30)) {
        const Clock::time_point now = Clock::now();
        while (sent < clients && start + length * static_cast<std::int64_t>(sent) /
                                             static_cast<std::int64_t>(clients) <=
                                     now) {
            const std::size_t connection = load.connect();
            // Measured from when it should have been sent, not from when we came to it.
            due[connection] = start + length * static_cast<std::int64_t>(sent) /
                                          static_cast<std::int64_t>(clients);
            load.send(connection, registration("storm", sent));
            ++sent;
        }
        if (!is_probing && next_probe <= now) {
            is_probing = true;
            probe_due = next_probe;
            next_probe += milliseconds(10);
            load.send(probe, health("probed"));
        }
        load.run(
            [&](std::size_t connection, const LoadAnswer& answer) {
                if (connection == probe) {
                    probed.push_back(in_ms(answer.at - probe_due));
                    is_probing = false;
                    next_probe = std::max(next_probe, answer.at);
                    return;
                }
                if (answer.status == 200) {
                    registered.push_back(in_ms(answer.at - due[connection]));
                } else {
                    ++bad;
                }
                load.disconnect(connection);
            },
            [] { return false; },
            Clock::now() + std::chrono::microseconds(500)
        );
    }
    bad += clients - registered.size() - bad;
    const std::string probes = times(probed);
    fmt::print(
        "{{\"clients\":{},\"bad\":{},\"took\":{:.1f},{},\"probe\":{{{}}}}}\n",
        clients,
        bad + load.failures(),
        in_ms(Clock::now() - start),
        times(registered),
        probes
    );
    if (bad + load.failures() > 0) std::exit(1);
}

// All at once: connect, ask with an index from before the restart, wait for the answer. What they
// ask differs as watchers' questions do: 100 services.
void herd(std::uint16_t port, std::span<const std::uint64_t> arguments) {
    const std::uint64_t watchers = arguments[0];
    HttpLoad load(port);
    std::vector<double> took;
    std::uint64_t bad = 0;
    const Clock::time_point start = Clock::now();
    for (std::uint64_t i = 0; i < watchers; ++i) {
        load.send(load.connect(), health(fmt::format("rate{}", i % 100), 1));
    }
    load.run(
        [&](std::size_t, const LoadAnswer& answer) {
            took.push_back(in_ms(answer.at - start));
            if (answer.status != 200) ++bad;
        },
        [&] { return took.size() + load.failures() == watchers; },
        start + seconds(60)
    );
    bad += watchers - took.size();
    fmt::print("{{\"watchers\":{},\"bad\":{},{}}}\n", watchers, bad, times(took));
    if (bad > 0) std::exit(1);
}

int run(int count, char** words) {
    if (count < 4) {
        fmt::print(stderr, "registry_load PORT MODE NUMBER... (see the head of its source)\n");
        return 2;
    }
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    const auto port = static_cast<std::uint16_t>(std::strtoul(words[1], nullptr, 10));
    const std::string mode = words[2];
    std::vector<std::uint64_t> arguments;
    for (int i = 3; i < count; ++i) arguments.push_back(std::strtoull(words[i], nullptr, 10));
    arguments.resize(4);
    if (mode == "fanout") {
        fanout(port, arguments);
    } else if (mode == "register") {
        register_rate(port, arguments);
    } else if (mode == "query") {
        query_rate(port, arguments);
    } else if (mode == "latency") {
        latency(port, arguments[0], count > 4 ? words[4] : ".");
    } else if (mode == "fill") {
        fill(port, arguments);
    } else if (mode == "storm") {
        storm(port, arguments);
    } else if (mode == "herd") {
        herd(port, arguments);
    } else {
        fmt::print(stderr, "registry_load: no mode {}\n", mode);
        return 2;
    }
    return 0;
}

}  // namespace
}  // namespace datapunk::mesh::load

int main(int count, char** words) {
    return datapunk::mesh::load::run(count, words);
}
