// Connections that the kernel has led to a listener instead of where they were meant to go
// (docs/capture.md).

#include <memory>

#include "io/redirected.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

// Where it was meant to go, if it was led here. False: it is one of our own, and cut.
io::Task<bool> Proxy::take_captured(
    ListenerState& listener, io::Stream& stream, ConnectionInfo& info, LoopGuard::Token& token
) {
    const auto* redirected = dynamic_cast<const io::Redirected*>(&stream);
    if (!listener.config.capture.is_on || redirected == nullptr) co_return true;
    info.to = redirected->destination();
    info.is_captured = info.to != stream.local();
    if (!info.is_captured || shared_.pool.loops == nullptr) co_return true;
    shared_.pool.loops->switch_on();
    auto known = shared_.pool.loops->captured(stream.peer(), info.to);
    bool is_ours = !known.has_value();
    if (known) {
        token = *std::move(known);
        // If it is one of ours, that it is made has happened too, and is heard of by the next turn.
        const auto turned = std::make_shared<io::Event>(loop());
        loop().post([turned] { turned->set(); });
        co_await turned->wait(kNever);
        is_ours = shared_.pool.loops->has_come_back(token);
    }
    if (!is_ours) co_return true;
    count_bad_request(listener, "capture_loop");
    shared_.log.error(
        "a connection of ours was led back to us: the rules must leave them alone",
        {{"listener", listener.config.name}, {"destination", info.to.to_string()}}
    );
    stream.reset();
    co_return false;
}

}  // namespace datapunk::mesh::proxy
