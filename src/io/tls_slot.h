#pragma once

// TlsSlot: where the context in force is found by those who make connections, while somebody else
// puts a newer one there. Connections keep the one that they began with. Thread-safe; one lock
// without contention a handshake.

#include <memory>
#include <mutex>
#include <utility>

#include "io/tls.h"

namespace datapunk::mesh::io {

class TlsSlot {
  public:
    using Context = std::shared_ptr<const TlsContext>;

    explicit TlsSlot(Context first) : current_(std::move(first)) {}

    Context get() const {
        const std::lock_guard lock(mutex_);
        return current_;
    }

    void set(Context next) {
        const std::lock_guard lock(mutex_);
        current_.swap(next);
    }

  private:
    mutable std::mutex mutex_;
    Context current_;
};

}  // namespace datapunk::mesh::io
