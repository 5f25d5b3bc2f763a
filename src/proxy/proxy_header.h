#pragma once

// The PROXY protocol on connections: reading what a proxy in front of us says, and saying it to
// endpoints. The format: wire/proxy_protocol.h.

#include <string>

#include "io/stream.h"
#include "io/task.h"
#include "proxy/listener_config.h"
#include "wire/proxy_protocol.h"

namespace datapunk::mesh::proxy {

// Reads the header and not a byte more. Code::invalid: there is none.
io::Task<Result<wire::ProxyHeader>> read_proxy_header(io::Stream& stream, Instant deadline);

io::SocketAddress to_socket_address(const wire::ProxyAddress& address) noexcept;

// Nothing for SendProxy::none.
void append_proxy_header(
    std::string& out, SendProxy version, const io::SocketAddress& from, const io::SocketAddress& to
);

}  // namespace datapunk::mesh::proxy
