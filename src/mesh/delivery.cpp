#include "mesh/delivery.h"

#include <algorithm>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include "io/signal_fd.h"
#include "metrics/names.h"

namespace datapunk::mesh::internal {

namespace {

// How often stop() looks whether all has ended.
constexpr Duration kLookInterval = std::chrono::milliseconds(1);

}  // namespace

struct Delivery::State {
    State(metrics::Counter e, metrics::Gauge w, core::Logger l)
        : errors(e), waiting(w), log(std::move(l)) {}

    void run(Work& work) noexcept {
        std::string what = "not a std::exception";
        try {
            work();
            return;
        } catch (const std::exception& problem) {
            what = problem.what();
        } catch (...) {  // said below
        }
        {
            // A mesh that has left a hanging function behind has no metrics any more.
            const std::lock_guard lock(mutex);
            if (is_abandoned) return;
            errors.add();
        }
        log.warn("a callback threw", {{"what", what}});
    }

    void show() { waiting.set(static_cast<double>(queue.size())); }

    mutable std::mutex mutex;
    std::condition_variable changed;
    std::deque<Work> queue;
    std::vector<std::thread> threads;
    std::size_t running = 0;
    bool is_stopping = false;   // threads end when the queue is empty
    bool is_abandoned = false;  // by the Delivery
    metrics::Counter errors;
    metrics::Gauge waiting;
    core::Logger log;
};

Delivery::Delivery(metrics::MetricRegistry& metrics, core::Logger log)
    : state_(std::make_shared<State>(
          metrics.counter(metrics::names::kWatchCallbackErrors, {}),
          metrics.gauge(metrics::names::kCallbacksWaiting, {}),
          std::move(log)
      )) {}

Delivery::~Delivery() {
    const std::lock_guard lock(state_->mutex);
    state_->is_stopping = true;
    state_->is_abandoned = true;
    // A thread that hangs in a function outlives the registry that these belong to.
    state_->errors = {};
    state_->waiting = {};
    for (std::thread& thread : state_->threads) thread.detach();
    state_->threads.clear();
    state_->changed.notify_all();
}

// Under the lock.
void Delivery::start_thread() {
    const io::AllSignalsBlocked blocked;
    try {
        state_->threads.emplace_back([state = state_] {
            std::unique_lock lock(state->mutex);
            for (;;) {
                state->changed.wait(lock, [&] {
                    return !state->queue.empty() || state->is_stopping;
                });
                if (state->is_abandoned || state->queue.empty()) return;
                Work work = std::move(state->queue.front());
                state->queue.pop_front();
                state->show();
                ++state->running;
                lock.unlock();
                state->run(work);
                work.reset();  // what it holds goes outside of the lock
                lock.lock();
                --state->running;
            }
        });
    } catch (const std::system_error& problem) {
        state_->log.warn("cannot start a thread for callbacks", {{"error", problem.what()}});
    }
}

void Delivery::post(Work work) {
    {
        const std::lock_guard lock(state_->mutex);
        if (!state_->is_stopping) {
            state_->queue.push_back(std::move(work));
            state_->show();
            const std::size_t threads = state_->threads.size();
            const std::size_t free = threads - std::min(threads, state_->running);
            if (state_->queue.size() > free && threads < kThreadsMax) start_thread();
            state_->changed.notify_one();
            return;
        }
    }
    state_->run(work);
}

bool Delivery::stop(io::ThreadClock& clock, Instant deadline) {
    std::unique_lock lock(state_->mutex);
    state_->is_stopping = true;
    state_->changed.notify_all();
    std::condition_variable nothing;
    while (!state_->queue.empty() || state_->running > 0) {
        const Instant now = clock.now();
        if (now >= deadline) {
            const std::deque<Work> dropped = std::exchange(state_->queue, {});
            lock.unlock();  // what they hold goes outside of the lock
            return false;
        }
        clock.wait(lock, nothing, now + kLookInterval);
    }
    std::vector<std::thread> threads = std::move(state_->threads);
    state_->threads.clear();
    lock.unlock();
    for (std::thread& thread : threads) thread.join();
    return true;
}

bool Delivery::is_own_thread() const {
    const std::lock_guard lock(state_->mutex);
    const auto self = std::this_thread::get_id();
    return std::any_of(state_->threads.begin(), state_->threads.end(), [&](const auto& thread) {
        return thread.get_id() == self;
    });
}

std::size_t Delivery::threads() const {
    const std::lock_guard lock(state_->mutex);
    return state_->threads.size();
}

}  // namespace datapunk::mesh::internal
