#pragma once

// Redirected: a connection that the kernel may have led to our listener instead of where its caller
// meant it to go (a rule set with `redirect`, docs/capture.md). TCP connections are; TLS and
// simulated streams are not.

#include "io/address.h"

namespace datapunk::mesh::io {

class Redirected {
  public:
    // Where it was meant to go; its own local address if nobody has led it elsewhere.
    virtual SocketAddress destination() const = 0;

  protected:
    ~Redirected() = default;
};

}  // namespace datapunk::mesh::io
