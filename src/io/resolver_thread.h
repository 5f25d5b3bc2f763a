#pragma once

// ResolverThread: getaddrinfo blocks, so it runs on a thread of its own, one name at a time, with a
// bounded queue. The answer is posted to the asking loop; an asker whose deadline passes leaves,
// and a late answer is dropped.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "io/address.h"
#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::io {

class ResolverThread {
  public:
    ResolverThread() = default;
    ~ResolverThread();

    Task<Result<std::vector<SocketAddress>>> resolve(
        Loop& loop, std::string host, std::uint16_t port, Instant deadline
    );

  private:
    struct Question;

    static void serve(std::shared_ptr<struct ResolverQueue> queue);

    std::shared_ptr<struct ResolverQueue> queue_;
};

}  // namespace datapunk::mesh::io
