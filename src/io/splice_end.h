#pragma once

// SpliceEnd: a stream whose bytes the kernel can move into and out of a pipe without copying them
// (splice(2)). TCP connections are; TLS and simulated streams are not. A splice past a connection
// that its peer has closed raises SIGPIPE, which the program ignores.

#include <cstddef>

#include "io/stream.h"

namespace datapunk::mesh::io {

class SpliceEnd {
  public:
    // What has arrived, up to `bytes_max`, into an empty pipe. As Stream::read_some.
    virtual IoResult splice_into(int pipe, std::size_t bytes_max) = 0;
    // Out of a pipe that holds `bytes`. As Stream::write_some.
    virtual IoResult splice_from(int pipe, std::size_t bytes) = 0;

  protected:
    ~SpliceEnd() = default;
};

}  // namespace datapunk::mesh::io
