#include "server/dns/dns_door.h"

#include <algorithm>
#include <utility>

#include "core/counted.h"
#include "metrics/names.h"

namespace datapunk::mesh::server::dns {

namespace {

constexpr int kBurst = 64;  // questions before others on this loop get their turn
// Questions are small; with EDNS options and a signature they stay below this.
constexpr std::size_t kQuestionBytesMax = 4096;

}  // namespace

DnsDoor::DnsDoor(
    io::Network& network, registry::embedded::EmbeddedRegistry& registry, DnsDoorConfig config
)
    : network_(network),
      config_(std::move(config)),
      zone_(registry.catalog(), config_, network.loop().rng().fork()),
      limit_(config_.responses_per_second_max, network.loop().rng()()) {}

Result<std::unique_ptr<DnsDoor>> DnsDoor::open(
    io::Network& network,
    registry::embedded::EmbeddedRegistry& registry,
    const io::SocketAddress& at,
    DnsDoorConfig config,
    core::Logger log
) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    std::unique_ptr<DnsDoor> door(new DnsDoor(network, registry, std::move(config)));
    if (auto listening = door->listen(at); !listening) return listening.error();
    door->tasks_.spawn(door->serve_udp());
    door->tasks_.spawn(door->serve_tcp());
    log.info(
        "registry dns", {{"address", door->local().to_string()}, {"domain", door->config_.domain}}
    );
    return door;
}

Result<> DnsDoor::listen(const io::SocketAddress& at) {
    // A port that is free for TCP may be taken for UDP.
    constexpr int kTries = 20;
    Error last;
    for (int i = 0; i < kTries; ++i) {
        auto listener = network_.listen(at, {});
        if (!listener) return std::move(listener).error();
        auto socket = network_.open_datagram((*listener)->local(), {});
        if (socket) {
            listener_ = *std::move(listener);
            socket_ = *std::move(socket);
            return Ok{};
        }
        last = std::move(socket).error();
        if (at.port != 0) break;
    }
    return last;
}

void DnsDoor::count_into(metrics::MetricRegistry& metrics) {
    namespace names = metrics::names;
    udp_questions_ = metrics.counter(names::kRegistryDnsQuestions, {"udp"});
    tcp_questions_ = metrics.counter(names::kRegistryDnsQuestions, {"tcp"});
    cut_ = metrics.counter(names::kRegistryDnsRefused, {"cut"});
    dropped_ = metrics.counter(names::kRegistryDnsRefused, {"dropped"});
    tcp_refused_ = metrics.counter(names::kRegistryDnsRefused, {"connection"});
}

Asked DnsDoor::asked(bool is_tcp, const io::SocketAddress& from) {
    return {
        .is_tcp = is_tcp,
        .is_local = from.is_loopback(),
        .now = network_.loop().now(),
        .wall_now = network_.loop().wall_now()
    };
}

std::string DnsDoor::answer_datagram(std::string_view question, const io::SocketAddress& from) {
    ++stats_.udp_questions;
    udp_questions_.add();
    switch (limit_.ask(from, network_.loop().now())) {
        case ResponseLimit::Verdict::answer:
            return zone_.answer(question, asked(false, from));
        case ResponseLimit::Verdict::cut:
            ++stats_.cut;
            cut_.add();
            return Zone::cut_answer(question);
        case ResponseLimit::Verdict::silent:
            break;
    }
    return {};
}

io::Task<void> DnsDoor::serve_udp() {
    std::string buffer(kQuestionBytesMax, '\0');
    for (int burst = 1;; ++burst) {
        auto got = co_await socket_->receive(buffer, kNever);
        if (!got) co_return;
        const std::string_view question(buffer.data(), got->bytes);
        const std::string reply = answer_datagram(question, got->from);
        if (reply.empty()) {
            ++stats_.dropped;
            dropped_.add();
        } else {
            // UDP promises nothing: what cannot be sent now is lost, and asked for again.
            static_cast<void>(socket_->send(reply, got->from, got->to).ok());
        }
        if (burst % kBurst == 0) {
            burst = 0;
            co_await io::yield_to(network_.loop());
        }
    }
}

io::Task<void> DnsDoor::serve_tcp() {
    for (;;) {
        auto stream = co_await listener_->accept();
        if (!stream) co_return;
        if (connections_ >= config_.tcp_connections_max) {
            ++stats_.tcp_refused;
            tcp_refused_.add();
            (*stream)->close();
            continue;
        }
        tasks_.spawn(serve_connection(*std::move(stream)));
    }
}

// Questions in turn, each behind its length (RFC 1035 4.2.2), each whole before the idle time is
// over.
io::Task<void> DnsDoor::serve_connection(io::StreamPtr stream) {
    const core::Counted connection(connections_);
    std::string bytes;
    for (;;) {
        const Instant deadline = network_.loop().now() + config_.tcp_idle_timeout;
        std::size_t size = 0;
        for (;;) {
            if (bytes.size() >= 2) {
                size = static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) << 8U |
                       static_cast<unsigned char>(bytes[1]);
                if (size > kQuestionBytesMax) co_return;
                if (bytes.size() >= size + 2) break;
            }
            std::string piece(1024, '\0');
            auto got = co_await stream->read(piece, deadline);
            if (!got || *got == 0) co_return;
            bytes.append(piece, 0, *got);
        }
        ++stats_.tcp_questions;
        tcp_questions_.add();
        const std::string_view question = std::string_view(bytes).substr(2, size);
        const std::string reply = zone_.answer(question, asked(true, stream->peer()));
        bytes.erase(0, size + 2);
        if (reply.empty()) co_return;
        std::string framed;
        framed.reserve(reply.size() + 2);
        framed += static_cast<char>(static_cast<unsigned char>(reply.size() >> 8U));
        framed += static_cast<char>(static_cast<unsigned char>(reply.size()));
        framed += reply;
        const io::Slices slices{std::string_view(framed)};
        const Instant written_by = network_.loop().now() + config_.tcp_write_timeout;
        auto written = co_await stream->write(slices, written_by);
        if (!written) co_return;
        // Many questions in one go must not keep the loop from the others.
        co_await io::yield_to(network_.loop());
    }
}

}  // namespace datapunk::mesh::server::dns
