#pragma once

// WatchState: one subscription: what stands between the control loop, which learns of changes, the
// delivery thread, which calls the user's function, and stop(), which may come from any thread, the
// function included.
//
//   offer(set) ─► newest ─► deliver(): the difference to what it was told last ─► the function
//
// There is one newest set, not a queue: whoever is slow hears of several changes as one. It is
// called by one thread at a time.
//
// Threads: offer() is the control loop's, deliver() whoever has been told to; stop() anybody's.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/mesh.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

namespace datapunk::mesh::internal {

class WatchState {
  public:
    explicit WatchState(WatchCallback callback);

    // What is known now; `change` is the difference to what was offered before, if it is known.
    // Whether somebody must be sent to deliver() it: nobody is on the way.
    bool offer(EndpointSetPtr set, const EndpointChange* change = nullptr);
    struct Delivered {
        bool again = false;           // there is more to deliver()
        std::exception_ptr thrown{};  // by the function
    };

    // Calls back, once at most.
    Delivered deliver();
    // No call begins afterwards; waits for one that runs, unless this is inside it.
    void stop();

  private:
    const WatchCallback callback_;
    const int process_id_;
    std::mutex mutex_;
    std::condition_variable ended_;
    bool is_stopped_ = false;
    bool is_on_the_way_ = false;  // somebody delivers, or is about to
    EndpointSetPtr newest_;
    EndpointSetPtr told_;
    std::optional<EndpointChange> next_;  // from told_ to newest_, if somebody knows it
    std::thread::id caller_;              // of the call that runs; none = none
};

}  // namespace datapunk::mesh::internal
