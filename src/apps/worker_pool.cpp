#include "apps/worker_pool.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "io/epoll_loop.h"
#include "io/tcp.h"

namespace datapunk::mesh::apps {

// Built on the control thread, then used by its own until joined.
struct WorkerPool::Worker {
    Worker(
        std::unique_ptr<io::EpollLoop> l,
        const proxy::ProxyShared& shared,
        io::ListeningSockets& sockets
    )
        : loop(std::move(l)), network(*loop, &sockets), proxy(network, shared) {}

    std::unique_ptr<io::EpollLoop> loop;
    io::KernelNetwork network;
    proxy::Proxy proxy;
    io::TaskGroup tasks;
    std::thread thread;
};

namespace {

// For one step of a change on a worker, whose turns are short.
constexpr Duration kStepTime = std::chrono::seconds(10);

// SO_REUSEPORT, which lets our workers share a port, would as well let us share that of another
// process of the same user, and each would get half of the traffic. Without it the kernel tells.
Result<> check_free(io::Network& network, const proxy::ListenerConfig& listener) {
    if (listener.port == 0) return Ok{};
    auto address = io::parse_ip(listener.address, listener.port);
    if (!address) return std::move(address).error();
    auto alone = network.listen(*address, {});
    if (!alone) return std::move(alone).error();
    return Ok{};
}

Error named(const proxy::ListenerConfig& listener, Error error) {
    error.what = "listener " + listener.name + ": " + error.what;
    return error;
}

}  // namespace

WorkerPool::WorkerPool(
    io::Loop& control, const proxy::ProxyShared& shared, io::ListeningSockets& sockets
)
    : control_(control), shared_(shared), sockets_(sockets) {}

WorkerPool::~WorkerPool() {
    for (const auto& worker : workers_) {
        if (!worker->thread.joinable()) continue;
        worker->loop->stop();
        worker->thread.join();
    }
}

Result<std::vector<BoundListener>> WorkerPool::start(
    std::size_t workers, const std::vector<proxy::ListenerConfig>& listeners
) {
    std::vector<BoundListener> bound;
    for (std::size_t i = 0; i < workers; ++i) {
        auto loop = io::EpollLoop::create();
        if (!loop) return std::move(loop).error();
        auto worker = std::make_unique<Worker>(*std::move(loop), shared_, sockets_);
        for (std::size_t k = 0; k < listeners.size(); ++k) {
            proxy::ListenerConfig config = listeners[k];
            // Port 0: the others join the first worker's port.
            if (i > 0) config.port = bound[k].address.port;
            if (i == 0 && workers > 1 && !is_given(config)) {
                if (auto is_free = check_free(worker->network, config); !is_free)
                    return named(config, std::move(is_free).error());
            }
            auto address = worker->proxy.listen(config, {.reuse_port = workers > 1});
            if (!address) {
                workers_.clear();
                return named(config, std::move(address).error());
            }
            if (i == 0) bound.push_back({config.name, *address});
        }
        workers_.push_back(std::move(worker));
    }
    if (auto rest = take_the_rest(listeners); !rest) {
        workers_.clear();
        return std::move(rest).error();
    }
    for (const auto& worker : workers_) {
        worker->thread = std::thread([loop = worker->loop.get()] { loop->run(); });
    }
    return bound;
}

bool WorkerPool::is_given(const proxy::ListenerConfig& listener) const {
    const auto address = io::parse_ip(listener.address, listener.port);
    return address && sockets_.is_given(*address);
}

// The process before had more workers: connections wait in their sockets too.
Result<> WorkerPool::take_the_rest(const std::vector<proxy::ListenerConfig>& listeners) {
    for (const proxy::ListenerConfig& config : listeners) {
        while (is_given(config)) {
            auto taken = workers_.front()->proxy.listen(config, {.reuse_port = true});
            if (!taken) return named(config, std::move(taken).error());
        }
    }
    return Ok{};
}

// On the worker's thread.
WorkerPool::Bound WorkerPool::open_all(
    Worker& worker, std::vector<proxy::ListenerConfig>& added, bool is_first
) {
    std::vector<BoundListener> bound;
    for (proxy::ListenerConfig& config : added) {
        if (is_first && workers_.size() > 1 && !is_given(config)) {
            if (auto is_free = check_free(worker.network, config); !is_free)
                return named(config, std::move(is_free).error());
        }
        auto address = worker.proxy.prepare(config, {.reuse_port = workers_.size() > 1});
        if (!address) return named(config, std::move(address).error());
        config.port = address->port;  // the others join the first worker's
        bound.push_back({config.name, *address});
    }
    return bound;
}

// False: the worker did not get to it in time, or at all.
io::Task<bool> WorkerPool::run_on(Worker& worker, core::UniqueFunction<void()> step) {
    const auto done = std::make_shared<io::Event>(control_);
    worker.loop->post([step = std::move(step), done, control = &control_]() mutable {
        step();
        control->post([done] { done->set(); });
    });
    const bool in_time = co_await done->wait(control_.now() + kStepTime);
    co_return in_time;
}

// Whoever listened there so far listens on until it is told to close; connections that nobody has
// accepted by then wait in the same sockets for the next.
void WorkerPool::hand_over_sockets(const std::vector<proxy::ListenerConfig>& added) {
    for (const io::ListeningSockets::Socket& open : sockets_.duplicates()) {
        const bool is_wanted = std::any_of(added.begin(), added.end(), [&](const auto& config) {
            const auto address = io::parse_ip(config.address, config.port);
            return config.port != 0 && address && *address == open.at;
        });
        if (is_wanted) {
            sockets_.give(open.at, open.fd);
        } else {
            ::close(open.fd);
        }
    }
}

io::Task<Result<std::vector<BoundListener>>> WorkerPool::change(
    std::vector<proxy::ListenerConfig> added, proxy::ProxyChange change
) {
    struct Opening {
        std::vector<proxy::ListenerConfig> added;
        Bound bound = std::vector<BoundListener>();
    };
    const auto opening = std::make_shared<Opening>();
    opening->added = std::move(added);
    hand_over_sockets(opening->added);
    std::vector<BoundListener> bound;
    std::optional<Error> failed;
    for (std::size_t i = 0; i < workers_.size() && !failed; ++i) {
        Worker& worker = *workers_[i];
        core::UniqueFunction<void()> step = [this, &worker, opening, i] {
            opening->bound = open_all(worker, opening->added, i == 0);
        };
        const bool in_time = co_await run_on(worker, std::move(step));
        if (!in_time) {
            failed = Error{.code = Code::timeout, .what = "a worker does not answer"};
        } else if (!opening->bound) {
            failed = opening->bound.error();
        } else if (i == 0) {
            bound = *opening->bound;
        }
    }
    sockets_.close_untaken();
    if (failed) {
        for (const auto& worker : workers_) {
            worker->loop->post([w = worker.get()] { w->proxy.abandon_prepared(); });
        }
        co_return *std::move(failed);
    }
    const auto shared = std::make_shared<const proxy::ProxyChange>(std::move(change));
    for (const auto& worker : workers_) {
        core::UniqueFunction<void()> step = [w = worker.get(), shared] { w->proxy.apply(*shared); };
        // One that is late gets to it all the same.
        co_await run_on(*worker, std::move(step));
    }
    co_return bound;
}

io::Task<void> WorkerPool::drain(Instant deadline) {
    // Both the posts to the workers and their answers come here as posts: no shared state.
    struct Progress {
        explicit Progress(io::Loop& loop) : done(loop) {}

        std::size_t left = 0;
        io::Event done;
    };
    const auto progress = std::make_shared<Progress>(control_);
    progress->left = workers_.size();
    const auto drain_one =
        [](proxy::Proxy& proxy, Instant until, io::Loop& control, std::shared_ptr<Progress> shared
        ) -> io::Task<void> {
        co_await proxy.drain(until);
        control.post([shared] {
            if (--shared->left == 0) shared->done.set();
        });
    };
    for (const auto& worker : workers_) {
        worker->loop->post([w = worker.get(), deadline, control = &control_, progress, drain_one] {
            w->tasks.spawn(drain_one(w->proxy, deadline, *control, progress));
        });
    }
    if (workers_.empty()) co_return;
    // The workers cut what is left at the deadline themselves; a little longer for them to say so.
    co_await progress->done.wait(deadline + std::chrono::seconds(1));
}

}  // namespace datapunk::mesh::apps
