#include "mesh/hedger.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/assert.h"
#include "io/signal_fd.h"

namespace datapunk::mesh::internal {

class Hedger::Job {
  public:
    enum class State : std::uint8_t { waiting, running, over };

    Job(Instant w, Work the_work) : when(w), work(std::move(the_work)) {}

    const Instant when;
    Work work;
    State state = State::waiting;  // under the hedger's mutex
};

Hedger::~Hedger() {
    MESH_ASSERT(threads_.empty());
}

std::shared_ptr<Hedger::Job> Hedger::schedule(Instant when, Work work) {
    auto job = std::make_shared<Job>(when, std::move(work));
    const std::lock_guard lock(mutex_);
    if (is_stopping_) {
        job->state = Job::State::over;
        return job;
    }
    const bool is_first = std::all_of(waiting_.begin(), waiting_.end(), [when](const auto& other) {
        return when < other->when;
    });
    waiting_.push_back(job);
    if (busy_ == threads_.size() && busy_ < kThreadsMax) start_thread();
    if (is_first) changed_.notify_one();
    return job;
}

void Hedger::settle(Job& job) {
    std::unique_lock lock(mutex_);
    if (job.state == Job::State::waiting) {
        std::erase_if(waiting_, [&job](const auto& one) { return one.get() == &job; });
        job.state = Job::State::over;
        return;
    }
    over_.wait(lock, [&job] { return job.state == Job::State::over; });
}

void Hedger::stop() {
    std::vector<std::thread> threads;
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
        threads = std::exchange(threads_, {});
    }
    changed_.notify_all();
    for (std::thread& thread : threads) thread.join();
}

std::size_t Hedger::threads() const {
    const std::lock_guard lock(mutex_);
    return threads_.size();
}

// Under the lock.
void Hedger::start_thread() {
    const io::AllSignalsBlocked blocked;
    try {
        threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {
        // Nobody hedges, then: what waits is taken back.
    }
}

// Under the lock.
std::shared_ptr<Hedger::Job> Hedger::take_due(Instant now) {
    const auto first =
        std::min_element(waiting_.begin(), waiting_.end(), [](const auto& a, const auto& b) {
            return a->when < b->when;
        });
    if (first == waiting_.end() || (*first)->when > now) return nullptr;
    auto job = std::move(*first);
    waiting_.erase(first);
    job->state = Job::State::running;
    return job;
}

void Hedger::serve() {
    std::unique_lock lock(mutex_);
    while (!is_stopping_) {
        if (const auto job = take_due(clock_.now())) {
            ++busy_;
            if (busy_ < threads_.size()) {
                changed_.notify_one();  // somebody must watch the next one's time
            } else if (!waiting_.empty() && busy_ < kThreadsMax && !is_stopping_) {
                start_thread();
            }
            lock.unlock();
            job->work();
            job->work.reset();
            lock.lock();
            --busy_;
            job->state = Job::State::over;
            over_.notify_all();
            continue;
        }
        Instant next = kNever;
        for (const auto& job : waiting_) next = std::min(next, job->when);
        clock_.wait(lock, changed_, next);
    }
}

}  // namespace datapunk::mesh::internal
