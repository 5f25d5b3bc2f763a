#pragma once

// Loop: one thread's world: what time it is, what is due, what to run next. Real (EpollLoop) or
// simulated (sim::SimLoop); code above sees only this. `now` stands still inside one turn.
//
//   turn:  poll (wait for IO until the next timer) -> now -> IO events -> timers -> posted -> ready
//
// Everything is for the loop's own thread, except post() and stop(), which any thread may call.

#include <datapunk/mesh/time.h>

#include <atomic>
#include <coroutine>
#include <mutex>
#include <vector>

#include "core/function.h"
#include "core/intrusive_list.h"
#include "core/rng.h"
#include "io/timer_wheel.h"

namespace datapunk::mesh::io {

// Something to resume when its turn comes. Destroying it takes it off the queue.
class Ready : public core::ListNode {
  public:
    virtual void run() = 0;

  protected:
    ~Ready() = default;
};

class Loop {
  public:
    using Function = core::UniqueFunction<void()>;

    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    virtual ~Loop() = default;

    Instant now() const noexcept { return now_; }

    virtual WallTime wall_now() const = 0;

    core::Rng& rng() noexcept { return rng_; }

    TimerWheel& timers() noexcept { return timers_; }

    // Runs `function` on the loop's thread, soon. Any thread. Dropped if the loop is never run
    // again.
    void post(Function function);

    // Runs `ready` later in this turn, after what is already queued.
    void make_ready(Ready& ready) noexcept {
        if (!ready.is_linked()) ready_.push_back(ready);
    }

    // Runs turns until stop().
    void run();
    // Any thread; takes effect at the end of the turn.
    void stop();

    bool is_stopping() const noexcept { return stopping_; }

    // One turn: waits at most until `latest`.
    void turn(Instant latest);

  protected:
    Loop(Instant now, std::uint64_t seed) : now_(now), timers_(now), rng_(seed) {}

    // Waits for IO until `until`, sets now_, handles what came.
    virtual void poll(Instant until) = 0;
    // Ends a poll() in another thread.
    virtual void wake() = 0;

    Instant now_;

  private:
    void run_posted();
    void run_ready();

    TimerWheel timers_;
    core::Rng rng_;
    core::IntrusiveList<Ready> ready_;
    std::mutex posted_mutex_;
    std::vector<Function> posted_;
    std::atomic<bool> has_posted_ = false;
    bool stopping_ = false;
};

// co_await sleep_until(loop, instant): resumes at or up to 1 ms after it.
class SleepAwait : private Timer {
  public:
    SleepAwait(Loop& loop, Instant until) noexcept
        : Timer(&SleepAwait::on_fire), loop_(loop), until_(until) {}

    bool await_ready() const noexcept { return until_ <= loop_.now(); }

    void await_suspend(std::coroutine_handle<> waiting) noexcept {
        waiting_ = waiting;
        loop_.timers().arm(*this, until_);
    }

    void await_resume() const noexcept {}

  private:
    static void on_fire(Timer& timer) { static_cast<SleepAwait&>(timer).waiting_.resume(); }

    Loop& loop_;
    Instant until_;
    std::coroutine_handle<> waiting_;
};

inline SleepAwait sleep_until(Loop& loop, Instant until) noexcept {
    return {loop, until};
}

inline SleepAwait sleep_for(Loop& loop, Duration time) noexcept {
    return {loop, loop.now() + time};
}

// Event: a flag that tasks of one loop can wait for. Setting it resumes all waiters, in order,
// later in the turn.
class Event {
  public:
    explicit Event(Loop& loop) noexcept : loop_(loop) {}

    bool is_set() const noexcept { return set_; }

    void set() noexcept;

    void clear() noexcept { set_ = false; }

    class Wait : private Ready, private Timer {
      public:
        Wait(Event& event, Instant deadline) noexcept
            : Timer(&Wait::on_fire), event_(event), deadline_(deadline) {}

        ~Wait() = default;

        bool await_ready() noexcept { return reached_ = event_.set_; }

        void await_suspend(std::coroutine_handle<> waiting) noexcept;

        // Whether the event came before the deadline.
        bool await_resume() const noexcept { return reached_; }

      private:
        friend class Event;

        void run() override { waiting_.resume(); }

        static void on_fire(Timer& timer);

        Event& event_;
        Instant deadline_;
        std::coroutine_handle<> waiting_;
        bool reached_ = false;
    };

    Wait wait(Instant deadline) noexcept { return {*this, deadline}; }

  private:
    Loop& loop_;
    core::IntrusiveList<Ready> waiting_;
    bool set_ = false;
};

}  // namespace datapunk::mesh::io
