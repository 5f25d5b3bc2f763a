#include "proxy/proxy_header.h"

namespace datapunk::mesh::proxy {

namespace {

wire::ProxyAddress to_proxy_address(const io::SocketAddress& address) noexcept {
    return {.ip = address.ip, .port = address.port, .is_v6 = address.is_v6};
}

}  // namespace

io::SocketAddress to_socket_address(const wire::ProxyAddress& address) noexcept {
    return {.ip = address.ip, .port = address.port, .is_v6 = address.is_v6};
}

// The header's end is known only when it has been seen, and what follows is not ours to take: a few
// bytes at a time.
io::Task<Result<wire::ProxyHeader>> read_proxy_header(io::Stream& stream, Instant deadline) {
    std::string text;
    wire::ProxyHeader header;
    for (;;) {
        const std::size_t wanted = wire::proxy_bytes_wanted(text);
        const std::size_t had = text.size();
        text.resize(had + wanted);
        const std::span<char> room(text.data() + had, wanted);
        auto got = co_await stream.read(room, deadline);
        if (!got) co_return std::move(got).error();
        text.resize(had + *got);
        const wire::ProxyRead read = wire::parse_proxy_header(text, header);
        if (read == wire::ProxyRead::done) co_return header;
        if (read == wire::ProxyRead::more && *got > 0) continue;
        co_return Error{
            .code = Code::invalid,
            .what = "the connection does not begin with a PROXY header",
            .source = Source::downstream
        };
    }
}

void append_proxy_header(
    std::string& out, SendProxy version, const io::SocketAddress& from, const io::SocketAddress& to
) {
    switch (version) {
        case SendProxy::none:
            return;
        case SendProxy::v1:
            wire::append_proxy_v1(out, to_proxy_address(from), to_proxy_address(to));
            return;
        case SendProxy::v2:
            wire::append_proxy_v2(out, to_proxy_address(from), to_proxy_address(to));
            return;
    }
}

}  // namespace datapunk::mesh::proxy
