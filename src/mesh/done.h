#pragma once

// Done<T>: who waits for an answer of the control loop. Called exactly once: dropped unanswered
// (the mesh is stopping, its tasks are destroyed), it answers Code::aborted itself. Movable; any
// thread.

#include <datapunk/mesh/result.h>

#include <utility>

#include "core/function.h"

namespace datapunk::mesh::internal {

inline Error stopping_error() {
    return {.code = Code::aborted, .what = "the mesh is shutting down"};
}

template <class T>
class Done {
  public:
    using Function = core::UniqueFunction<void(Result<T>)>;

    explicit Done(Function function) noexcept : function_(std::move(function)) {}

    Done(Done&& other) noexcept = default;

    Done& operator=(Done&& other) = delete;

    ~Done() {
        if (function_) function_(stopping_error());
    }

    void operator()(Result<T> result) {
        Function function = std::move(function_);
        function(std::move(result));
    }

  private:
    Function function_;
};

}  // namespace datapunk::mesh::internal
