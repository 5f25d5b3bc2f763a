// UDP: whether somebody is there. Nobody can be sure of it: silence is what a healthy service says
// to a datagram that it does not understand, and what a lost datagram sounds like. So, as Consul's
// CheckUDP: an answer passes, a deadline without one passes, any other error is critical; above all
// the ICMP message that nobody listens. (Consul sends an empty datagram, and sets no deadline on
// its read: there, a silent service keeps the status that it has. Here its read ends.) With
// `expect`, silence is no answer: critical.

#include <fmt/format.h>

#include "probe/connection.h"

namespace datapunk::mesh::probe {

namespace {

constexpr std::size_t kDatagramBytesMax = 65'536;  // longer ones do not exist

ProbeResult failed(const ProbeDefinition& definition, std::string_view why) {
    return verdict(Health::critical, fmt::format("UDP {}: {}", definition.display, why));
}

ProbeResult passed(const ProbeDefinition& definition) {
    return verdict(Health::passing, fmt::format("UDP connect {}: Success", definition.display));
}

}  // namespace

io::Task<ProbeResult> probe_udp(ProbeTools tools, ProbeDefinition definition, Instant deadline) {
    auto found = co_await tools.network.resolve(definition.host, definition.port, deadline);
    if (!found) co_return failed(definition, found.error().what);
    const io::SocketAddress peer = found->front();
    const io::SocketAddress any{.is_v6 = peer.is_v6};
    auto socket = tools.network.open_datagram(any, {.peer = peer});
    if (!socket) co_return failed(definition, socket.error().what);
    auto sent = (*socket)->send(definition.send, peer, any);
    if (!sent) co_return failed(definition, sent.error().what);
    std::string buffer(kDatagramBytesMax, '\0');
    for (;;) {
        auto got = co_await (*socket)->receive(buffer, deadline);
        const bool is_silent = !got && got.error().code == Code::timeout;
        if (is_silent && definition.expect.empty()) co_return passed(definition);
        if (is_silent) co_return failed(definition, "the expected answer has not come in time");
        if (!got) co_return failed(definition, got.error().what);
        const std::string_view heard(buffer.data(), got->bytes);
        // Another message may have been on its way already.
        if (heard.find(definition.expect) != std::string_view::npos) co_return passed(definition);
    }
}

}  // namespace datapunk::mesh::probe
