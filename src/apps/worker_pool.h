#pragma once

// WorkerPool: the data plane's threads, each with a loop and a Proxy of its own; the kernel spreads
// connections over them (SO_REUSEPORT). Made, drained and destroyed on the control thread.

#include <memory>
#include <vector>

#include "core/function.h"
#include "io/listening_sockets.h"
#include "io/task.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::apps {

struct BoundListener {
    std::string name;
    io::SocketAddress address;
};

class WorkerPool {
  public:
    // `control` is the loop that drain() is awaited on.
    WorkerPool(io::Loop& control, const proxy::ProxyShared& shared, io::ListeningSockets& sockets);
    ~WorkerPool();

    // Opens every listener on every worker, then starts the threads. On an error nothing runs.
    Result<std::vector<BoundListener>> start(
        std::size_t workers, const std::vector<proxy::ListenerConfig>& listeners
    );

    // While they run: `change` on every worker, with `added` listeners opened first, on all of them
    // or none; what those listen on is returned. After an error nothing has changed. A removed
    // listener and an added one may have the same address: the sockets pass from the one to the
    // other. One change at a time.
    io::Task<Result<std::vector<BoundListener>>> change(
        std::vector<proxy::ListenerConfig> added, proxy::ProxyChange change
    );

    // Every worker's Proxy::drain; at the deadline what is left has been cut.
    io::Task<void> drain(Instant deadline);

  private:
    struct Worker;

    using Bound = Result<std::vector<BoundListener>>;

    Bound open_all(Worker& worker, std::vector<proxy::ListenerConfig>& added, bool is_first);
    io::Task<bool> run_on(Worker& worker, core::UniqueFunction<void()> step);
    void hand_over_sockets(const std::vector<proxy::ListenerConfig>& added);

    bool is_given(const proxy::ListenerConfig& listener) const;
    Result<> take_the_rest(const std::vector<proxy::ListenerConfig>& listeners);

    io::Loop& control_;
    proxy::ProxyShared shared_;
    io::ListeningSockets& sockets_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace datapunk::mesh::apps
