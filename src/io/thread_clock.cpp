#include "io/thread_clock.h"

#include <unistd.h>

namespace datapunk::mesh::io {

namespace {

class SystemThreadClock final : public ThreadClock {
  public:
    Instant now() const override {
        return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
    }

    void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Instant until)
        override {
        if (until == kNever) {
            changed.wait(lock);
        } else {
            changed.wait_until(lock, until);
        }
    }
};

}  // namespace

std::unique_ptr<ThreadClock> make_thread_clock() {
    return std::make_unique<SystemThreadClock>();
}

int process_id() noexcept {
    return ::getpid();
}

}  // namespace datapunk::mesh::io
