#pragma once

// Canned: a simulated host that answers every connection by script, over TLS if it has a context.
// For tests.

#include <memory>
#include <string>
#include <utility>

#include "io/tls.h"
#include "sim/sim_world.h"

namespace datapunk::mesh::probe {

struct CannedScript {
    std::string until = "\r\n\r\n";  // what is read before the answer; empty: nothing
    std::string answer{};
    bool ends = true;       // finishes after the answer; otherwise it stays and says no more
    bool resets = false;    // breaks off instead of finishing
    std::size_t piece = 0;  // not 0: so many bytes at a time,
    Duration pause{};       // with so much time in between
};

class Canned {
  public:
    Canned(
        sim::SimNetwork& network,
        std::uint16_t port,
        CannedScript script,
        std::shared_ptr<const io::TlsContext> tls = nullptr
    )
        : listener_(*network.listen(*io::parse_ip(network.ip(), port), {})),
          script_(std::move(script)),
          tls_(std::move(tls)) {
        tasks_.spawn(accept_all(this));
    }

    std::string asked;  // all of it, of every connection
    int connections = 0;
    io::TlsPeer visitor;

  private:
    static io::Task<void> accept_all(Canned* self) {
        for (;;) {
            auto stream = co_await self->listener_->accept();
            if (!stream) co_return;
            ++self->connections;
            self->tasks_.spawn(serve(self, *std::move(stream)));
        }
    }

    static io::Task<void> serve(Canned* self, io::StreamPtr stream) {
        const CannedScript& script = self->script_;
        if (self->tls_ != nullptr) {
            auto secure = io::TlsStream::server(std::move(stream), self->tls_);
            auto agreed = co_await secure->handshake(kNever);
            if (!agreed) co_return;
            self->visitor = secure->peer_identity();
            stream = std::move(secure);
        }
        std::string buffer(4096, '\0');
        std::string head;
        while (head.find(script.until) == std::string::npos) {
            auto got = co_await stream->read(buffer, kNever);
            if (!got || *got == 0) co_return;
            head.append(buffer, 0, *got);
            self->asked.append(buffer, 0, *got);
        }
        const std::size_t piece = script.piece == 0 ? script.answer.size() : script.piece;
        for (std::size_t at = 0; at < script.answer.size(); at += piece) {
            if (at > 0) co_await io::sleep_for(stream->loop(), script.pause);
            const std::string part = script.answer.substr(at, piece);
            auto written = co_await stream->write(io::Slices(part), kNever);
            if (!written) co_return;
        }
        if (script.resets) {
            stream->reset();
            co_return;
        }
        if (script.ends) stream->shutdown_write();
        (void)co_await stream->read(buffer, kNever);
    }

    std::unique_ptr<io::Listener> listener_;
    CannedScript script_;
    std::shared_ptr<const io::TlsContext> tls_;
    io::TaskGroup tasks_;
};

}  // namespace datapunk::mesh::probe
