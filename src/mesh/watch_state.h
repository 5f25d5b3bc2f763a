#pragma once

// WatchState: what stands between a user's callback, which runs on the mesh's thread, and stop(),
// which may come from any thread, the callback included.
//
// Threads: call() is the control loop's; stop() anybody's.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/mesh.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace datapunk::mesh::internal {

class WatchState {
  public:
    explicit WatchState(WatchCallback callback);

    void call(const EndpointChange& change);
    // No call begins afterwards; waits for one that runs, unless this is inside it.
    void stop();

  private:
    void end_call();

    const WatchCallback callback_;
    const int process_id_;
    std::mutex mutex_;
    std::condition_variable ended_;
    bool is_stopped_ = false;
    std::thread::id caller_;  // of the call that runs; none = none
};

}  // namespace datapunk::mesh::internal
