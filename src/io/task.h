#pragma once

// Task<T>: a lazy coroutine. It starts when awaited, resumes its awaiter by symmetric transfer, and
// is cancelled by destroying it: every awaiter of this room unregisters itself in its destructor.
// A task belongs to one loop. Exceptions do not leave a task: an escaped one ends the process.
//
// TaskGroup owns tasks that nobody awaits. Destroying the group destroys (cancels) what still runs.
//
// `auto r = co_await f(named, locals);` is a statement of its own (docs/ARCHITECTURE.md: g++ 12).

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/assert.h"
#include "core/intrusive_list.h"
#include "io/frame_pool.h"

namespace datapunk::mesh::io {

template <class T>
class Task;

namespace detail {

struct FramePooled {
    static void* operator new(std::size_t bytes) { return allocate_frame(bytes); }

    static void operator delete(void* frame, std::size_t bytes) noexcept {
        free_frame(frame, bytes);
    }
};

struct TaskPromiseBase : FramePooled {
    std::coroutine_handle<> continuation = std::noop_coroutine();

    std::suspend_always initial_suspend() noexcept { return {}; }

    struct Final {
        bool await_ready() noexcept { return false; }

        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
            return self.promise().continuation;
        }

        void await_resume() noexcept {}
    };

    Final final_suspend() noexcept { return {}; }

    void unhandled_exception() noexcept { std::terminate(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
    std::optional<T> value;

    Task<T> get_return_object() noexcept;

    template <class U>
    void return_value(U&& result) {
        value.emplace(std::forward<U>(result));
    }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
    Task<void> get_return_object() noexcept;

    void return_void() noexcept {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
  public:
    using promise_type = detail::TaskPromise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) noexcept : handle_(handle) {}

    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}

    Task& operator=(Task&& other) noexcept {
        if (this != &other) {
            if (handle_) handle_.destroy();
            handle_ = std::exchange(other.handle_, {});
        }
        return *this;
    }

    ~Task() {
        if (handle_) handle_.destroy();
    }

    bool await_ready() const noexcept { return false; }

    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        MESH_ASSERT(handle_ && !handle_.done());
        handle_.promise().continuation = awaiting;
        return handle_;
    }

    T await_resume() {
        if constexpr (!std::is_void_v<T>) return std::move(*handle_.promise().value);
    }

  private:
    Handle handle_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
    return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() noexcept {
    return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

}  // namespace detail

class TaskGroup {
  public:
    TaskGroup() = default;
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;

    ~TaskGroup() { cancel(); }

    // Runs `task` up to its first wait, then whenever that wait ends. Must not be called from a
    // destructor of this group's own tasks.
    void spawn(Task<void> task) { run(this, std::move(task)); }

    // Destroys every task that still runs. Not to be called from inside one of them.
    void cancel() noexcept {
        while (!roots_.empty()) {
            auto& promise = roots_.front();
            std::coroutine_handle<Root::promise_type>::from_promise(promise).destroy();
        }
    }

    std::size_t size() const noexcept { return size_; }

    bool empty() const noexcept { return size_ == 0; }

  private:
    struct Root {
        struct promise_type : detail::FramePooled, core::ListNode {
            promise_type(TaskGroup* owner, Task<void>&) noexcept : group(owner) {
                group->roots_.push_back(*this);
                ++group->size_;
            }

            ~promise_type() { --group->size_; }

            Root get_return_object() noexcept { return {}; }

            std::suspend_never initial_suspend() noexcept { return {}; }

            std::suspend_never final_suspend() noexcept { return {}; }

            void return_void() noexcept {}

            void unhandled_exception() noexcept { std::terminate(); }

            TaskGroup* group;
        };
    };

    static Root run(TaskGroup*, Task<void> task) { co_await std::move(task); }

    core::IntrusiveList<Root::promise_type> roots_;
    std::size_t size_ = 0;
};

}  // namespace datapunk::mesh::io
