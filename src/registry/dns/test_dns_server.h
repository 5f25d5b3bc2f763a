#pragma once

// For tests: a DNS server on any io::Network, by UDP and TCP, that says what it is told to say and
// can misbehave.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/network.h"
#include "wire/dns/message.h"

namespace datapunk::mesh::registry::dns {

class TestDnsServer {
  public:
    using Message = wire::dns::DnsMessage;
    using Name = wire::dns::DnsName;
    using Type = wire::dns::DnsType;

    TestDnsServer(io::Network& network, const io::SocketAddress& at) {
        auto socket = network.open_datagram(at, {});
        auto listener = network.listen(at, {});
        EXPECT_TRUE(socket && listener);
        socket_ = *std::move(socket);
        listener_ = *std::move(listener);
        tasks_.spawn(serve_udp());
        tasks_.spawn(serve_tcp());
    }

    static Name name(std::string_view text) { return *Name::parse(text); }

    void add_srv(
        std::string_view owner,
        std::uint16_t priority,
        std::uint16_t weight,
        std::uint16_t port,
        std::string_view target
    ) {
        add(owner, Type::srv, wire::dns::SrvData{priority, weight, port, name(target)});
    }

    void add_a(std::string_view owner, std::uint8_t last_byte) {
        add(owner, Type::a, wire::dns::AddressData{.ip = {10, 1, 0, last_byte}});
    }

    void add_aaaa(std::string_view owner, std::uint8_t last_byte) {
        wire::dns::AddressData address{.ip = {0x20, 0x01, 0x0d, 0xb8}};
        address.ip[15] = last_byte;
        add(owner, Type::aaaa, address);
    }

    void add_name(std::string_view owner, Type type, std::string_view target) {
        add(owner, type, wire::dns::NameData{name(target)});
    }

    void add_txt(std::string_view owner, std::vector<std::string> texts) {
        add(owner, Type::txt, wire::dns::TxtData{std::move(texts)});
    }

    void add(std::string_view owner, Type type, wire::dns::DnsData data) {
        records_.push_back(
            {.name = name(owner), .type = type, .ttl_s = ttl_s, .data = std::move(data)}
        );
    }

    void clear() { records_.clear(); }

    // How often this was asked.
    std::size_t asked(std::string_view owner, Type type) const {
        std::size_t count = 0;
        for (const auto& question : questions_) {
            count += question.name == name(owner) && question.type == type ? 1U : 0U;
        }
        return count;
    }

    const std::vector<wire::dns::DnsQuestion>& questions() const { return questions_; }

    std::uint32_t ttl_s = 10;         // of what is added from now on
    std::uint32_t soa_minimum_s = 5;  // of negative answers
    bool is_silent = false;
    bool truncates = false;  // by UDP, everything
    bool knows_edns = true;  // false: FORMERR for OPT
    bool fills_additional = true;
    wire::dns::DnsRcode rcode = wire::dns::DnsRcode::no_error;  // otherwise: always this
    std::size_t by_tcp = 0;
    // Changes a reply before it is sent.
    std::function<void(Message&)> spoil;

  private:
    void fill(Message& reply, const Name& owner, Type type, std::vector<wire::dns::DnsRecord>& to) {
        for (const auto& record : records_) {
            if (!(record.name == owner)) continue;
            const bool is_alias = record.type == Type::cname;
            if (record.type != type && !is_alias) continue;
            to.push_back(record);
            if (is_alias) {
                fill(reply, std::get<wire::dns::NameData>(record.data).name, type, to);
            } else if (fills_additional && type == Type::srv) {
                const Name target = std::get<wire::dns::SrvData>(record.data).target;
                fill(reply, target, Type::a, reply.additional);
                fill(reply, target, Type::aaaa, reply.additional);
            }
        }
    }

    Message reply_to(const Message& query) {
        Message reply{
            .id = query.id,
            .is_response = true,
            .is_authoritative = true,
            .recursion_desired = query.recursion_desired
        };
        reply.questions = query.questions;
        if (query.edns && !knows_edns) {
            reply.rcode = wire::dns::DnsRcode::format_error;
            return reply;
        }
        if (query.edns) reply.edns = wire::dns::Edns{};
        reply.rcode = rcode;
        if (rcode != wire::dns::DnsRcode::no_error) return reply;
        const auto& question = query.questions.at(0);
        fill(reply, question.name, question.type, reply.answers);
        if (!reply.answers.empty()) return reply;
        bool exists = false;
        for (const auto& record : records_) exists = exists || record.name == question.name;
        if (!exists) reply.rcode = wire::dns::DnsRcode::name_error;
        reply.authority.push_back(
            {.name = name("example.org"),
             .type = Type::soa,
             .ttl_s = 3600,
             .data =
                 wire::dns::SoaData{
                     name("ns.example.org"), name("h.example.org"), 1, 2, 3, 4, soa_minimum_s
                 }}
        );
        return reply;
    }

    std::string answer(std::string_view bytes) {
        const auto query = wire::dns::decode(bytes);
        if (!query || query->questions.empty()) return {};
        questions_.push_back(query->questions[0]);
        if (is_silent) return {};
        Message reply = reply_to(*query);
        if (spoil) spoil(reply);
        return *wire::dns::encode(reply);
    }

    io::Task<void> serve_udp() {
        std::string buffer(4096, '\0');
        for (;;) {
            auto got = co_await socket_->receive(buffer, kNever);
            if (!got) co_return;
            std::string reply = answer(std::string_view(buffer.data(), got->bytes));
            if (reply.empty()) continue;
            if (truncates) {
                Message cut = *wire::dns::decode(reply);
                cut.is_truncated = true;
                cut.answers.clear();
                cut.authority.clear();
                cut.additional.clear();
                reply = *wire::dns::encode(cut);
            }
            EXPECT_TRUE(socket_->send(reply, got->from, got->to));
        }
    }

    io::Task<void> serve_tcp() {
        for (;;) {
            auto stream = co_await listener_->accept();
            if (!stream) co_return;
            tasks_.spawn(serve_one(*std::move(stream)));
        }
    }

    io::Task<void> serve_one(io::StreamPtr stream) {
        std::string bytes;
        for (;;) {
            std::string piece(4096, '\0');
            auto got = co_await stream->read(piece, kNever);
            if (!got || *got == 0) co_return;
            bytes.append(piece, 0, *got);
            if (bytes.size() < 2) continue;
            const std::size_t size = static_cast<std::size_t>(
                static_cast<unsigned char>(bytes[0]) << 8U | static_cast<unsigned char>(bytes[1])
            );
            if (bytes.size() < size + 2) continue;
            ++by_tcp;
            const std::string reply = answer(std::string_view(bytes).substr(2, size));
            if (reply.empty()) continue;
            std::string framed;
            framed += static_cast<char>(static_cast<unsigned char>(reply.size() >> 8U));
            framed += static_cast<char>(static_cast<unsigned char>(reply.size()));
            framed += reply;
            const io::Slices slices{std::string_view(framed)};
            auto written = co_await stream->write(slices, kNever);
            if (!written) co_return;
            bytes.clear();
        }
    }

    io::DatagramPtr socket_;
    std::unique_ptr<io::Listener> listener_;
    std::vector<wire::dns::DnsRecord> records_;
    std::vector<wire::dns::DnsQuestion> questions_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::registry::dns
