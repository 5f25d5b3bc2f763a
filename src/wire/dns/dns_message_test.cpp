#include <gmock/gmock.h>

#include "core/rng.h"
#include "wire/dns/message.h"
#include "wire/dns/tsig.h"

namespace datapunk::mesh::wire::dns {
namespace {

using testing::HasSubstr;

DnsName name(std::string_view text) {
    return *DnsName::parse(text);
}

std::string bytes(std::initializer_list<int> values) {
    std::string out;
    for (const int value : values) out += static_cast<char>(static_cast<unsigned char>(value));
    return out;
}

// A header with these counts and nothing else set.
std::string header(int questions, int answers, int authority, int additional) {
    return bytes({0x12, 0x34, 0x81, 0x80, 0, questions, 0, answers, 0, authority, 0, additional});
}

std::string problem(const std::string& message) {
    const auto decoded = decode(message);
    return decoded ? "no problem" : decoded.error().what;
}

TEST(DnsMessage, ReadsAnAnswerWithCompressedNames) {
    const std::string wire = header(1, 1, 0, 1) + std::string("\3web\3org\0", 9) +
                             bytes({0, 33, 0, 1}) +  //
                             bytes({0xc0, 12, 0, 33, 0,    1,    0, 0,   0,   30,   0, 11,
                                    0,    1,  0, 2,  0x1f, 0x90, 2, 'h', '1', 0xc0, 16}) +
                             bytes({0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0});
    const auto message = decode(wire);
    ASSERT_TRUE(message) << message.error().what;
    EXPECT_EQ(message->id, 0x1234);
    EXPECT_TRUE(message->is_response && message->recursion_desired);
    EXPECT_EQ(message->questions.at(0).name.text(), "web.org.");
    const DnsRecord& record = message->answers.at(0);
    EXPECT_EQ(record.name.text(), "web.org.");
    EXPECT_EQ(record.ttl_s, 30U);
    const SrvData expected{.priority = 1, .weight = 2, .port = 8080, .target = name("h1.org")};
    EXPECT_EQ(std::get<SrvData>(record.data), expected);
    ASSERT_TRUE(message->edns);
    EXPECT_EQ(message->edns->udp_bytes_max, 1232);
    EXPECT_TRUE(message->edns->dnssec_ok);
}

TEST(DnsMessage, WritesTheBytesThatRfc1035Says) {
    DnsMessage message{.id = 0x1234, .is_response = true, .is_authoritative = true};
    message.questions.push_back({.name = name("web.org"), .type = DnsType::a});
    message.answers.push_back(
        {.name = name("web.org"),
         .type = DnsType::a,
         .ttl_s = 5,
         .data = AddressData{.ip = {10, 0, 0, 1}}}
    );
    EXPECT_EQ(
        *encode(message),
        bytes({0x12, 0x34, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0}) + std::string("\3web\3org\0", 9) +
            bytes({0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1})
    );
}

TEST(DnsMessage, ANameThatPointsIntoTheHeaderIsRefused) {
    const std::string question = header(1, 0, 0, 0) + bytes({0xc0, 3, 0, 1, 0, 1});
    EXPECT_THAT(problem(question), testing::HasSubstr("points into the header"));
    EXPECT_FALSE(decode_question(question));
}

TEST(DnsMessage, CompressionKeepsTheCaseOfEachName) {
    DnsMessage message{.is_response = true};
    message.questions.push_back({.name = name("DB.Service.Consul"), .type = DnsType::soa});
    message.answers.push_back(
        {.name = name("consul"), .type = DnsType::ns, .data = NameData{name("n1.node.consul")}}
    );
    const auto again = decode(*encode(message));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->questions[0].name.text(), "DB.Service.Consul.");
    EXPECT_EQ(again->answers[0].name.text(), "consul.");
}

TEST(DnsMessage, APointerThatDoesNotGoBackIsRefused) {
    const std::string tail = bytes({0, 1, 0, 1});
    EXPECT_THAT(problem(header(1, 0, 0, 0) + bytes({0xc0, 12}) + tail), HasSubstr("backwards"));
    EXPECT_THAT(problem(header(1, 0, 0, 0) + bytes({0xc0, 14}) + tail), HasSubstr("backwards"));
    EXPECT_THAT(
        problem(header(1, 0, 0, 0) + bytes({1, 'a', 0xc0, 12}) + tail), HasSubstr("backwards")
    );
    // Two that point at each other.
    EXPECT_THAT(
        problem(header(2, 0, 0, 0) + bytes({1, 'a', 0xc0, 20}) + tail + bytes({0xc0, 12}) + tail),
        HasSubstr("backwards")
    );
}

TEST(DnsMessage, NamesThatGrowTooLongByCompressionAreRefused) {
    // Each of six questions adds a label of 60 bytes before the previous name.
    std::string wire = header(6, 0, 0, 0);
    int previous = 0;
    for (int i = 0; i < 6; ++i) {
        const int here = static_cast<int>(wire.size());
        wire += bytes({60}) + std::string(60, 'a');
        wire += i == 0 ? bytes({0}) : bytes({0xc0 | previous >> 8, previous & 0xff});
        wire += bytes({0, 1, 0, 1});
        previous = here;
    }
    EXPECT_THAT(problem(wire), HasSubstr("over 255"));
}

TEST(DnsMessage, RefusesWhatIsCutOrContradictsItself) {
    const std::string question = std::string("\1a\0", 3) + bytes({0, 1, 0, 1});
    EXPECT_THAT(problem(""), HasSubstr("too early"));
    EXPECT_THAT(problem(header(1, 0, 0, 0)), HasSubstr("past the end"));
    EXPECT_THAT(problem(header(0, 0, 0, 0) + "x"), HasSubstr("follow the last"));
    EXPECT_THAT(problem(header(1, 1, 0, 0) + question), HasSubstr("past the end"));
    const std::string owner = bytes({0xc0, 12});
    EXPECT_THAT(
        problem(
            header(1, 1, 0, 0) + question + owner +
            bytes({0, 1, 0, 1, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5})
        ),
        HasSubstr("another length")
    );
    EXPECT_THAT(
        problem(header(1, 1, 0, 0) + question + owner + bytes({0, 16, 0, 1, 0, 0, 0, 0, 0, 0})),
        HasSubstr("without a text")
    );
    EXPECT_THAT(
        problem(
            header(1, 1, 0, 0) + question + owner + bytes({0, 16, 0, 1, 0, 0, 0, 0, 0, 2, 5, 1})
        ),
        HasSubstr("too early")
    );
    const std::string opt = bytes({0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0});
    EXPECT_THAT(problem(header(0, 0, 0, 2) + opt + opt), HasSubstr("two OPT"));
    EXPECT_THAT(problem(header(0, 1, 0, 0) + opt), HasSubstr("outside the additional"));
    EXPECT_THAT(problem(std::string(65'536, 'x')), HasSubstr("65,535"));
    EXPECT_THAT(
        problem(header(1, 0, 0, 0) + bytes({0x80, 0}) + bytes({0, 1, 0, 1})),
        HasSubstr("unknown kind")
    );
}

TEST(DnsMessage, TheQuestionOfACutMessageCanStillBeRead) {
    DnsMessage message{.id = 7, .is_response = true, .is_truncated = true};
    message.questions.push_back({.name = name("web.org"), .type = DnsType::srv});
    message.answers.push_back({.name = name("web.org"), .type = DnsType::a, .data = AddressData{}});
    const std::string wire = *encode(message);
    const std::string cut = wire.substr(0, wire.size() - 3);
    EXPECT_FALSE(decode(cut));
    const auto question = decode_question(cut);
    ASSERT_TRUE(question);
    EXPECT_TRUE(question->is_truncated);
    EXPECT_EQ(question->questions, message.questions);
}

TEST(DnsMessage, ATtlAboveTheSignBitIsZero) {
    const std::string question = std::string("\1a\0", 3) + bytes({0, 1, 0, 1});
    const auto message = decode(
        header(1, 1, 0, 0) + question +
        bytes({0xc0, 12, 0, 1, 0, 1, 0x80, 0, 0, 1, 0, 4, 10, 0, 0, 1})
    );
    ASSERT_TRUE(message) << message.error().what;
    EXPECT_EQ(message->answers[0].ttl_s, 0U);
}

TEST(DnsMessage, ExtendedErrorsNeedEdns) {
    DnsMessage message{.is_response = true, .rcode = DnsRcode::bad_version};
    message.edns = Edns{};
    const auto again = decode(*encode(message));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->rcode, DnsRcode::bad_version);
    EXPECT_EQ(to_string(again->rcode), "BADVERS");
    EXPECT_EQ(to_string(static_cast<DnsRcode>(23)), "RCODE23");
    EXPECT_EQ(to_string(static_cast<DnsType>(65)), "TYPE65");
}

TEST(DnsMessage, WhatDoesNotFitIsAnErrorAndNoCutMessage) {
    DnsMessage message;
    message.answers.push_back(
        {.name = name("a"), .type = DnsType::txt, .data = TxtData{{std::string(256, 'x')}}}
    );
    EXPECT_FALSE(encode(message));
    message.answers.clear();
    for (int i = 0; i < 300; ++i) {
        message.answers.push_back(
            {.name = name("a"), .type = DnsType::txt, .data = TxtData{{std::string(255, 'x')}}}
        );
    }
    const auto encoded = encode(message);
    ASSERT_FALSE(encoded);
    EXPECT_THAT(encoded.error().what, HasSubstr("65,535"));
}

// Random messages of every kind we know.
class Maker {
  public:
    explicit Maker(std::uint64_t seed) : rng_(seed) {}

    DnsMessage message() {
        DnsMessage message{
            .id = u16(),
            .opcode = rng_.chance(0.5) ? DnsOpcode::query : DnsOpcode::notify,
            .is_response = rng_.chance(0.5),
            .is_authoritative = rng_.chance(0.5),
            .is_truncated = rng_.chance(0.5),
            .recursion_desired = rng_.chance(0.5),
            .recursion_available = rng_.chance(0.5),
            .rcode = static_cast<DnsRcode>(rng_.below(16))
        };
        for (auto n = rng_.below(3); n > 0; --n) {
            message.questions.push_back({.name = some_name(), .type = DnsType::srv});
        }
        for (auto* section : {&message.answers, &message.authority, &message.additional}) {
            for (auto n = rng_.below(8); n > 0; --n) section->push_back(record());
        }
        if (rng_.chance(0.5)) {
            message.edns =
                Edns{.udp_bytes_max = u16(), .dnssec_ok = rng_.chance(0.5), .options = text(40)};
            message.rcode = static_cast<DnsRcode>(rng_.below(4096));
        }
        return message;
    }

    core::Rng& rng() { return rng_; }

  private:
    std::uint16_t u16() { return static_cast<std::uint16_t>(rng_()); }

    std::string text(std::size_t size_max) {
        std::string out(rng_.below(size_max + 1), 'x');
        for (char& c : out) c = static_cast<char>(rng_());
        return out;
    }

    DnsName some_name() {
        std::vector<std::string> labels;
        for (auto n = rng_.below(4); n > 0; --n) labels.push_back("x" + text(8));
        labels.emplace_back(rng_.chance(0.5) ? "consul" : "Consul");
        return *DnsName::from_labels({labels.begin(), labels.end()});
    }

    DnsRecord record() {
        DnsRecord record{.name = some_name(), .ttl_s = static_cast<std::uint32_t>(rng_() >> 33U)};
        switch (rng_.below(7)) {
            case 0: {
                record.type = DnsType::a;
                AddressData address;
                for (std::size_t i = 0; i < 4; ++i)
                    address.ip[i] = static_cast<std::uint8_t>(rng_());
                record.data = address;
                break;
            }
            case 1: {
                record.type = DnsType::aaaa;
                AddressData address;
                for (auto& byte : address.ip) byte = static_cast<std::uint8_t>(rng_());
                record.data = address;
                break;
            }
            case 2:
                record.type = rng_.chance(0.5) ? DnsType::ptr : DnsType::cname;
                record.data = NameData{some_name()};
                break;
            case 3:
                record.type = DnsType::srv;
                record.data = SrvData{u16(), u16(), u16(), some_name()};
                break;
            case 4:
                record.type = DnsType::txt;
                record.data = TxtData{{text(255), text(20)}};
                break;
            case 5:
                record.type = DnsType::soa;
                record.data = SoaData{some_name(), some_name(), 1, 2, 3, 4, u16()};
                break;
            default:
                record.type = static_cast<DnsType>(300 + rng_.below(100));
                record.class_code = u16();
                record.data = OpaqueData{text(60)};
        }
        return record;
    }

    core::Rng rng_;
};

TEST(DnsMessage, WhatIsWrittenIsReadBackAndDamageNeverHurts) {
    for (std::uint64_t seed = 1; seed <= 2'000; ++seed) {
        SCOPED_TRACE(seed);
        Maker maker(seed);
        const DnsMessage message = maker.message();
        const auto encoded = encode(message);
        ASSERT_TRUE(encoded) << encoded.error().what;
        const auto decoded = decode(*encoded);
        ASSERT_TRUE(decoded) << decoded.error().what;
        ASSERT_EQ(*decoded, message);
        for (std::size_t i = 0; i < message.answers.size(); ++i) {
            EXPECT_TRUE(decoded->answers[i].name.is_identical(message.answers[i].name));
        }
        std::string damaged = *encoded;
        for (int flips = 0; flips < 3; ++flips) {
            damaged[maker.rng().below(damaged.size())] = static_cast<char>(maker.rng()());
        }
        // Whatever still reads as a message can be written again.
        const auto survived = decode(damaged);
        EXPECT_TRUE(!survived || encode(*survived));
        EXPECT_FALSE(decode(encoded->substr(0, maker.rng().below(encoded->size()))));
    }
}

TEST(Tsig, IsTheLastRecordAndHashesTheMessageWithoutIt) {
    DnsMessage message{.id = 0x0102, .opcode = DnsOpcode::notify};
    message.questions.push_back({.name = name("example.org"), .type = DnsType::soa});
    const std::string plain = *encode(message);
    Tsig tsig{
        .key = name("Key.Example"),
        .algorithm = name(kHmacSha256),
        .time_s = 0x0102'0304'0506,
        .mac = std::string(32, 'm'),
        .original_id = 0x0102
    };
    const std::string input = tsig_input(plain, tsig, {});
    EXPECT_EQ(
        input,
        plain + std::string("\3key\7example\0", 13) + bytes({0, 255, 0, 0, 0, 0}) +
            std::string("\013hmac-sha256\0", 13) + bytes({1, 2, 3, 4, 5, 6, 1, 44, 0, 0, 0, 0})
    );
    std::string signed_message = plain;
    append_tsig(signed_message, tsig);
    // A forwarder may have changed the id.
    signed_message[0] = 9;
    const auto decoded = decode(signed_message);
    ASSERT_TRUE(decoded) << decoded.error().what;
    ASSERT_TRUE(decoded->tsig);
    tsig.offset = plain.size();
    EXPECT_EQ(*decoded->tsig, tsig);
    EXPECT_EQ(tsig_input(signed_message, *decoded->tsig, {}), input);
    EXPECT_EQ(tsig_input(signed_message, *decoded->tsig, "ab"), bytes({0, 2}) + "ab" + input);
    // A record behind it: refused.
    std::string more = signed_message;
    append_tsig(more, tsig);
    EXPECT_FALSE(decode(more));
}

}  // namespace
}  // namespace datapunk::mesh::wire::dns
