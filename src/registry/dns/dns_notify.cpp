#include "registry/dns/dns_notify.h"

#include <algorithm>

#include "core/strings.h"
#include "io/hmac.h"
#include "wire/dns/tsig.h"

namespace datapunk::mesh::registry::dns {

using wire::dns::DnsMessage;
using wire::dns::DnsName;
using wire::dns::DnsOpcode;
using wire::dns::DnsRcode;
using wire::dns::DnsType;
using wire::dns::Tsig;

namespace {

constexpr std::size_t kMacBytes = 32;
constexpr std::uint64_t kFudgeMax = 300;  // seconds; RFC 8945's advice
constexpr int kBurst = 64;                // messages before others get their turn

std::uint64_t seconds_of(WallTime time) {
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch());
    return static_cast<std::uint64_t>(since.count());
}

}  // namespace

DnsNotify::DnsNotify(
    io::Network& network, const DnsNotifyConfig& config, core::Logger log, Heard heard
)
    : network_(network),
      log_(log),
      heard_(std::move(heard)),
      pace_({.per_second = config.per_second_max, .burst = 5}) {
    if (config.key_name.empty()) return;
    wants_key_ = true;
    key_ = *DnsName::parse(config.key_name);
    secret_ = *core::base64_decode(config.key_secret);
}

Result<std::unique_ptr<DnsNotify>> DnsNotify::start(
    io::Network& network,
    const DnsNotifyConfig& config,
    const std::vector<io::SocketAddress>& servers,
    core::Logger log,
    Heard heard
) {
    std::unique_ptr<DnsNotify> notify(new DnsNotify(network, config, log, std::move(heard)));
    for (io::SocketAddress server : servers) {
        server.port = 0;
        notify->allowed_.push_back(server);
    }
    for (const std::string& from : config.from) {
        notify->allowed_.push_back(*io::parse_ip(from, 0));
    }
    auto at = io::parse_ip(config.address, config.port);
    if (!at) return std::move(at).error();
    auto socket = network.open_datagram(*at, {});
    if (!socket) {
        Error error = std::move(socket).error();
        error.what = "dns: notify: " + error.what;
        return error;
    }
    notify->socket_ = *std::move(socket);
    notify->tasks_.spawn(notify->listen());
    return notify;
}

io::Task<void> DnsNotify::listen() {
    std::string buffer(4096, '\0');
    for (int burst = 0;; ++burst) {
        auto got = co_await socket_->receive(buffer, kNever);
        if (!got) co_return;
        const std::string reply =
            got->is_cut ? "" : handle(std::string_view(buffer.data(), got->bytes), got->from);
        if (!reply.empty()) static_cast<void>(socket_->send(reply, got->from, got->to).ok());
        if (burst % kBurst == kBurst - 1) co_await io::yield_to(network_.loop());
    }
}

std::string DnsNotify::handle(std::string_view bytes, const io::SocketAddress& from) {
    ++stats_.received;
    io::SocketAddress host = from;
    host.port = 0;
    const bool is_known = std::find(allowed_.begin(), allowed_.end(), host) != allowed_.end();
    const auto message = wire::dns::decode(bytes);
    const bool is_notify = is_known && message && !message->is_response &&
                           message->opcode == DnsOpcode::notify && message->questions.size() == 1 &&
                           message->questions[0].type == DnsType::soa;
    if (!is_notify) {
        ++stats_.refused;
        return {};
    }
    const Signed verdict = check_signature(bytes, *message);
    if (verdict != Signed::no_need && verdict != Signed::yes) {
        ++stats_.refused;
        log_.warn(
            "a NOTIFY with a wrong signature, or none",
            {{"from", from.to_string()}, {"zone", message->questions[0].name.text()}}
        );
        return reply_to(*message, verdict);
    }
    if (pace_.try_acquire(network_.loop().now())) {
        ++stats_.heard;
        heard_(message->questions[0].name);
    } else {
        ++stats_.paced;
    }
    return reply_to(*message, verdict);
}

DnsNotify::Signed DnsNotify::check_signature(std::string_view bytes, const DnsMessage& message)
    const {
    if (!wants_key_) return Signed::no_need;
    if (!message.tsig) return Signed::bad_key;
    const Tsig& tsig = *message.tsig;
    const DnsName algorithm = *DnsName::parse(wire::dns::kHmacSha256);
    if (!(tsig.key == key_) || !(tsig.algorithm == algorithm)) return Signed::bad_key;
    const std::string expected = io::hmac_sha256(secret_, wire::dns::tsig_input(bytes, tsig, {}));
    if (tsig.mac.size() != kMacBytes || !io::equals_in_constant_time(tsig.mac, expected)) {
        return Signed::bad_signature;
    }
    const std::uint64_t now = seconds_of(network_.loop().wall_now());
    const std::uint64_t apart = now > tsig.time_s ? now - tsig.time_s : tsig.time_s - now;
    const std::uint64_t allowed = std::min<std::uint64_t>(tsig.fudge_s, kFudgeMax);
    return apart <= allowed ? Signed::yes : Signed::bad_time;
}

std::string DnsNotify::reply_to(const DnsMessage& message, Signed verdict) const {
    const bool is_good = verdict == Signed::no_need || verdict == Signed::yes;
    DnsMessage reply{
        .id = message.id,
        .opcode = DnsOpcode::notify,
        .is_response = true,
        .is_authoritative = true,
        .rcode = is_good ? DnsRcode::no_error : DnsRcode::not_authorised
    };
    reply.questions = message.questions;
    auto bytes = wire::dns::encode(reply);
    if (!bytes) return {};
    if (verdict == Signed::no_need || !message.tsig) return *std::move(bytes);
    Tsig tsig{
        .key = message.tsig->key,
        .algorithm = message.tsig->algorithm,
        .time_s = seconds_of(network_.loop().wall_now()),
        .original_id = message.id
    };
    // Who has no key of ours gets no signature of ours (RFC 8945 5.3.2).
    const auto error = [&] {
        switch (verdict) {
            case Signed::bad_signature:
                return DnsRcode::bad_version;  // 16 is BADSIG here
            case Signed::bad_key:
                return DnsRcode::bad_key;
            case Signed::bad_time:
                return DnsRcode::bad_time;
            default:
                return DnsRcode::no_error;
        }
    }();
    tsig.error = static_cast<std::uint16_t>(error);
    if (verdict == Signed::bad_time) {
        const std::uint64_t ours = tsig.time_s;
        tsig.time_s = message.tsig->time_s;
        for (int shift = 40; shift >= 0; shift -= 8) {
            tsig.other += static_cast<char>(static_cast<unsigned char>(ours >> shift));
        }
    }
    if (verdict == Signed::yes || verdict == Signed::bad_time) {
        tsig.mac = io::hmac_sha256(secret_, wire::dns::tsig_input(*bytes, tsig, message.tsig->mac));
    }
    wire::dns::append_tsig(*bytes, tsig);
    return *std::move(bytes);
}

}  // namespace datapunk::mesh::registry::dns
