#include "io/network.h"

#include <fmt/format.h>

namespace datapunk::mesh::io {

Task<Result<StreamPtr>> connect_to(
    Network& network, std::string host, std::uint16_t port, Instant deadline
) {
    auto addresses = co_await network.resolve(host, port, deadline);
    if (!addresses) co_return std::move(addresses).error();
    Error last;
    for (const SocketAddress& address : *addresses) {
        auto stream = co_await network.connect(address, deadline);
        if (stream) co_return std::move(stream);
        last = stream.error();
    }
    co_return last;
}

}  // namespace datapunk::mesh::io
