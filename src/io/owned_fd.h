#pragma once

// OwnedFd: a descriptor that is closed with its owner, unless released.

#include <unistd.h>

#include <utility>

namespace datapunk::mesh::io {

class OwnedFd {
  public:
    explicit OwnedFd(int fd = -1) noexcept : fd_(fd) {}

    OwnedFd(const OwnedFd&) = delete;
    OwnedFd& operator=(const OwnedFd&) = delete;

    ~OwnedFd() {
        if (fd_ >= 0) ::close(fd_);
    }

    int get() const noexcept { return fd_; }

    int release() noexcept { return std::exchange(fd_, -1); }

    void reset(int fd = -1) noexcept {
        if (fd_ >= 0) ::close(fd_);
        fd_ = fd;
    }

  private:
    int fd_;
};

}  // namespace datapunk::mesh::io
