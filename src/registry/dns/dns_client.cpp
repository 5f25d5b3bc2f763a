#include "registry/dns/dns_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"
#include "metrics/names.h"

namespace datapunk::mesh::registry::dns {

using wire::dns::DnsMessage;
using wire::dns::DnsName;
using wire::dns::DnsQuestion;
using wire::dns::DnsRcode;
using wire::dns::DnsType;

namespace {

constexpr std::uint16_t kDnsPort = 53;
// Messages that are no answer to our question; more than this within one attempt is an attack or a
// broken server, and the next one is asked.
constexpr int kMismatchedMax = 100;

Error upstream(std::string what, Code code = Code::unavailable) {
    return {.code = code, .what = std::move(what), .source = Source::registry, .retryable = true};
}

bool wants_no_edns(DnsRcode rcode) {
    return rcode == DnsRcode::format_error || rcode == DnsRcode::not_implemented ||
           rcode == DnsRcode::bad_version;
}

// Is this the answer to what was asked, as far as its sender can prove it?
bool answers(const DnsMessage& reply, const DnsMessage& query) {
    if (!reply.is_response || reply.id != query.id || reply.opcode != query.opcode) return false;
    // A server that could not read the question may not repeat it; then it is asked without EDNS.
    if (reply.questions.empty()) return wants_no_edns(reply.rcode);
    if (reply.questions.size() != 1) return false;
    const DnsQuestion& got = reply.questions[0];
    const DnsQuestion& asked = query.questions[0];
    return got.type == asked.type && got.class_code == asked.class_code &&
           got.name.is_identical(asked.name);
}

// A server that knows nothing of the zone and points elsewhere: that is no "there is none".
bool is_referral(const DnsMessage& reply) {
    if (reply.rcode != DnsRcode::no_error || !reply.answers.empty()) return false;
    const auto is = [](DnsType type) {
        return [type](const wire::dns::DnsRecord& record) { return record.type == type; };
    };
    const auto& authority = reply.authority;
    return std::none_of(authority.begin(), authority.end(), is(DnsType::soa)) &&
           std::any_of(authority.begin(), authority.end(), is(DnsType::ns));
}

}  // namespace

DnsClient::DnsClient(io::Network& network, const DnsConfig& config)
    : network_(network),
      attempt_timeout_(config.attempt_timeout),
      rounds_(config.rounds),
      udp_bytes_max_(config.udp_bytes_max),
      mix_case_(config.mix_case) {
    for (const std::string& server : config.servers) {
        auto address = io::parse_ip(server, kDnsPort);
        if (!address) address = io::parse_address(server);
        MESH_ASSERT(address.ok());
        servers_.push_back(*address);
    }
}

void DnsClient::count_into(metrics::MetricRegistry& metrics) {
    namespace names = metrics::names;
    udp_questions_ = metrics.counter(names::kDnsClientQuestions, {"udp"});
    tcp_questions_ = metrics.counter(names::kDnsClientQuestions, {"tcp"});
    failures_ = metrics.counter(names::kDnsClientFailures, {});
    mismatched_ = metrics.counter(names::kDnsClientMismatched, {});
}

void DnsClient::count_mismatched() {
    ++stats_.mismatched;
    mismatched_.add();
}

DnsName DnsClient::mixed(const DnsName& name) {
    if (!mix_case_) return name;
    std::vector<std::string> labels;
    for (const std::string_view label : name.labels()) {
        std::string out = core::lowercase(label);
        for (char& c : out) {
            const bool is_letter = c >= 'a' && c <= 'z';
            if (is_letter && network_.loop().rng().chance(0.5)) c = static_cast<char>(c - 32);
        }
        labels.push_back(std::move(out));
    }
    const std::vector<std::string_view> views(labels.begin(), labels.end());
    auto mixed = DnsName::from_labels(views);
    return mixed ? *mixed : name;
}

DnsMessage DnsClient::make_query(const DnsQuestion& question, bool with_edns) {
    DnsMessage query{
        .id = static_cast<std::uint16_t>(network_.loop().rng()()), .recursion_desired = true
    };
    query.questions.push_back(
        {.name = mixed(question.name), .type = question.type, .class_code = question.class_code}
    );
    if (with_edns) query.edns = wire::dns::Edns{.udp_bytes_max = udp_bytes_max_};
    return query;
}

io::Task<Result<DnsMessage>> DnsClient::ask(DnsName name, DnsType type, Instant deadline) {
    const DnsQuestion question{.name = std::move(name), .type = type};
    Error last = upstream("the deadline has passed", Code::timeout);
    const std::size_t first = preferred_;
    for (std::size_t attempt = 0; attempt < rounds_ * servers_.size(); ++attempt) {
        const Instant now = network_.loop().now();
        if (now >= deadline) break;
        const std::size_t which = (first + attempt) % servers_.size();
        const io::SocketAddress server = servers_[which];
        const Instant until = std::min(deadline, now + attempt_timeout_);
        auto reply = co_await ask_server(server, question, until);
        if (reply) {
            preferred_ = which;
            co_return std::move(reply);
        }
        ++stats_.failures;
        failures_.add();
        last = std::move(reply).error();
        last.what = fmt::format("{}: {}", server.to_string(), last.what);
    }
    last.what =
        fmt::format("dns: {} {}: {}", to_string(question.type), question.name.text(), last.what);
    co_return last;
}

io::Task<Result<DnsMessage>> DnsClient::ask_server(
    io::SocketAddress server, DnsQuestion question, Instant deadline
) {
    for (int round = 0; round < 2; ++round) {
        const bool with_edns = round == 0;
        const DnsMessage query = make_query(question, with_edns);
        auto reply = co_await ask_udp(server, query, deadline);
        if (!reply) co_return std::move(reply);
        if (reply->is_truncated) {
            // A new id: the old one has been seen on the wire.
            const DnsMessage again = make_query(question, with_edns);
            auto whole = co_await ask_tcp(server, again, deadline);
            if (!whole) co_return std::move(whole);
            reply = std::move(whole);
        }
        if (with_edns && wants_no_edns(reply->rcode)) continue;
        if (is_referral(*reply)) co_return upstream("it refers to other servers");
        if (reply->rcode == DnsRcode::no_error || reply->rcode == DnsRcode::name_error) {
            co_return std::move(reply);
        }
        co_return upstream(to_string(reply->rcode));
    }
    co_return upstream("FORMERR");
}

io::Task<Result<DnsMessage>> DnsClient::ask_udp(
    io::SocketAddress server, DnsMessage query, Instant deadline
) {
    auto bytes = wire::dns::encode(query);
    if (!bytes) co_return std::move(bytes).error();
    const io::SocketAddress any{.is_v6 = server.is_v6};
    auto socket = network_.open_datagram(any, {.peer = server});
    if (!socket) co_return upstream(std::move(socket).error().what);
    ++stats_.questions;
    udp_questions_.add();
    auto sent = (*socket)->send(*bytes, server, any);
    if (!sent) co_return upstream(std::move(sent).error().what);
    std::string buffer(4096, '\0');
    for (int i = 0; i < kMismatchedMax; ++i) {
        auto got = co_await (*socket)->receive(buffer, deadline);
        if (!got) co_return upstream(got.error().what, got.error().code);
        const std::string_view message(buffer.data(), got->bytes);
        auto question = wire::dns::decode_question(message);
        if (!question || !answers(*question, query)) {
            count_mismatched();
            continue;
        }
        // Its records may be cut: they come again by TCP.
        if (question->is_truncated || got->is_cut) {
            question->is_truncated = true;
            co_return std::move(question);
        }
        auto reply = wire::dns::decode(message);
        if (!reply) co_return upstream(std::move(reply).error().what);
        co_return std::move(reply);
    }
    co_return upstream("too many messages that are no answer");
}

io::Task<Result<DnsMessage>> DnsClient::ask_tcp(
    io::SocketAddress server, DnsMessage query, Instant deadline
) {
    auto bytes = wire::dns::encode(query);
    if (!bytes) co_return std::move(bytes).error();
    ++stats_.questions;
    ++stats_.by_tcp;
    tcp_questions_.add();
    auto stream = co_await network_.connect(server, deadline);
    if (!stream) co_return upstream(std::move(stream).error().what);
    const std::size_t size = bytes->size();
    std::string framed{static_cast<char>(size >> 8U), static_cast<char>(size & 0xffU)};
    framed += *bytes;
    const io::Slices slices{std::string_view(framed)};
    auto written = co_await (*stream)->write(slices, deadline);
    if (!written) co_return upstream(std::move(written).error().what);
    std::string message;
    std::size_t wanted = 2;  // its length first
    bool has_length = false;
    while (message.size() < wanted) {
        std::string piece(std::min<std::size_t>(wanted - message.size(), 16'384), '\0');
        auto got = co_await (*stream)->read(piece, deadline);
        if (!got) co_return upstream(std::move(got).error().what);
        if (*got == 0) co_return upstream("it closed the connection before the answer");
        message.append(piece, 0, *got);
        if (has_length || message.size() < wanted) continue;
        has_length = true;
        wanted = static_cast<std::size_t>(static_cast<unsigned char>(message[0])) << 8U |
                 static_cast<unsigned char>(message[1]);
        message.clear();
    }
    auto reply = wire::dns::decode(message);
    if (!reply) co_return upstream(std::move(reply).error().what);
    if (!answers(*reply, query)) {
        count_mismatched();
        co_return upstream("its answer by TCP is not to our question");
    }
    reply->is_truncated = false;
    co_return std::move(reply);
}

}  // namespace datapunk::mesh::registry::dns
