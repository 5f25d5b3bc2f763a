#pragma once

// UpstreamPool: one worker's connections to endpoints. Idle ones are kept per address and TLS
// context (certificates that were replaced are not used again) and reused last in, first out, so
// that surplus ones age out; before reuse a connection is checked for the peer's goodbye without a
// system call in the usual case. One loop's object.
//
//   take_idle, else connect -> exchange -> put_idle, or destroy
//
// A service may have so many connections, over all workers (LimitsConfig::connections). At the
// limit the worker's longest idle connection of that service to another endpoint makes room; if
// there is none, connecting fails with Code::exhausted: calls do not queue for connections.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/network.h"
#include "io/task.h"
#include "proxy/http2_link.h"
#include "proxy/upstream_connection.h"

namespace datapunk::mesh::proxy {

struct UpstreamPoolConfig {
    std::size_t idle_per_endpoint_max = 256;
    // Below the idle timeout of the servers in use (Node 5 s, gunicorn 2 s are the shortest known;
    // the alive check covers those).
    Duration idle_timeout = std::chrono::seconds(50);
    Duration connect_timeout = std::chrono::seconds(1);
    std::size_t head_bytes_max = 60UL * 1024;
    LoopGuard* loops = nullptr;  // null: nothing is captured
};

// Registers a connection that was just made; an error if it has come back to this process.
Result<LoopGuard::Token> guarded(LoopGuard* loops, const io::Stream& stream);

class UpstreamPool {
  public:
    struct Counters {
        std::uint64_t created = 0;
        std::uint64_t reused = 0;
        std::uint64_t failed = 0;
        std::uint64_t open = 0;  // being made, in use or idle
    };

    UpstreamPool(io::Network& network, UpstreamPoolConfig config);

    // An idle connection to host:port that is still alive, or nullptr. No waiting.
    UpstreamPtr take_idle(std::string_view address, const UpstreamUse& use);
    // A new one.
    io::Task<Result<UpstreamPtr>> connect(
        std::string host, std::uint16_t port, Instant deadline, UpstreamUse& use
    );
    // After a complete exchange, if is_reusable().
    void put_idle(std::string_view address, UpstreamPtr upstream);

    // --- endpoints that speak HTTP/2: connections carry many exchanges at a time
    // One on a connection that takes another, or nullptr. No waiting. Where TLS has agreed on
    // HTTP/1.1 instead: take_idle().
    UpstreamPtr take_stream(std::string_view address, const UpstreamUse& use);
    // One on a new connection; who asks while one is being made waits for that and for what
    // the endpoint allows on it. Where TLS agrees on
    // HTTP/1.1 instead: that connection.
    io::Task<Result<UpstreamPtr>> connect_stream(
        std::string host, std::uint16_t port, Instant deadline, UpstreamUse& use
    );

    // Closes what has been idle too long. Call about once a second.
    void sweep();
    // Closes all that is idle.
    void clear();

    const Counters& counters() const noexcept { return counters_; }

    std::size_t idle() const noexcept;

  private:
    struct KeyView {
        std::string_view address;
        std::uint64_t tls_context = 0;
    };

    struct Key {
        std::string address;
        std::uint64_t tls_context = 0;

        operator KeyView() const noexcept { return {address, tls_context}; }
    };

    struct Hash {
        using is_transparent = void;

        std::size_t operator()(const KeyView& key) const noexcept;
    };

    struct Equal {
        using is_transparent = void;

        bool operator()(const KeyView& a, const KeyView& b) const noexcept {
            return a.address == b.address && a.tls_context == b.tls_context;
        }
    };

    using List = std::vector<std::unique_ptr<UpstreamConnection>>;

    // The connections to one endpoint that speaks HTTP/2.
    struct Links {
        explicit Links(io::Loop& loop) : made(loop) {}

        std::vector<std::shared_ptr<Http2Link>> list;
        bool is_connecting = false;
        Instant http1_until;    // TLS has agreed on HTTP/1.1: nobody waits for another's connection
        std::size_t users = 0;  // of this, in connect_stream()
        io::Event made;         // or not, but tried

        // One whose SETTINGS have not come: who waits for it waits with others.
        std::shared_ptr<Http2Link> young() const;
    };

    struct Dialled {
        io::StreamPtr stream;
        std::uint64_t tls_context = 0;
        bool is_http2 = false;
        LoopGuard::Token token;
    };

    io::Task<Result<Dialled>> dial(
        std::string host, std::uint16_t port, Instant until, UpstreamUse& use, bool wants_http2
    );
    UpstreamPtr connection_of(Dialled dialled, ConnectionSlot slot);
    static std::uint64_t context_of(const UpstreamUse& use);
    bool close_longest_idle(const UpstreamUse& use);
    ConnectionSlot slot_for(UpstreamUse& use);
    static Error no_slot(const UpstreamUse& use);

    io::Network& network_;
    UpstreamPoolConfig config_;
    Counters counters_;
    std::unordered_map<Key, List, Hash, Equal> idle_;
    std::unordered_map<Key, std::unique_ptr<Links>, Hash, Equal> links_;
};

}  // namespace datapunk::mesh::proxy
