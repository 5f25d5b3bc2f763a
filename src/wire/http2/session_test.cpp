// Two sessions against each other, and raw frames against a server.

#include "wire/http2/session.h"

#include <gmock/gmock.h>

#include <functional>
#include <map>

#include "wire/http2/test_frames.h"

namespace datapunk::mesh::wire::http2 {
namespace {

using http1::Reject;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

const Instant kStart{seconds(1000)};

FieldList get(std::string_view path = "/") {
    FieldList fields;
    fields.add(":method", "GET");
    fields.add(":scheme", "http");
    fields.add(":authority", "api");
    fields.add(":path", path);
    return fields;
}

FieldList ok() {
    FieldList fields;
    fields.add(":status", "200");
    return fields;
}

// A client and a server and what is between them.
struct Pair {
    explicit Pair(const SessionLimits& limits = {})
        : client(Session::Role::client, limits, kStart),
          server(Session::Role::server, limits, kStart) {
        exchange();
    }

    // Until neither has anything to say.
    void exchange() {
        for (;;) {
            client.pull();
            server.pull();
            std::string up;
            std::string down;
            up.swap(client.output());
            down.swap(server.output());
            if (up.empty() && down.empty()) return;
            sent_up += up.size();
            if (!up.empty()) server.feed(up, kStart);
            if (!down.empty()) client.feed(down, kStart);
            EXPECT_EQ(server.abuse(), Abuse::none) << server.problem();
            EXPECT_EQ(client.abuse(), Abuse::none) << client.problem();
        }
    }

    // The server's side of the stream that has begun last.
    H2Stream* accept() {
        H2Stream* found = nullptr;
        while (H2Stream* const stream = server.next_changed()) {
            if (stream->owner != nullptr) continue;
            stream->owner = this;
            found = stream;
        }
        return found;
    }

    Session client;
    Session server;
    std::size_t sent_up = 0;
};

TEST(Session, CarriesARequestAndItsAnswerWithTrailers) {
    Pair pair;
    H2Stream* const asked = pair.client.request(get("/a?b"), true);
    ASSERT_NE(asked, nullptr);
    pair.client.offer(*asked, "hello", true);
    pair.exchange();
    EXPECT_TRUE(asked->is_taken());
    H2Stream* const got = pair.accept();
    ASSERT_NE(got, nullptr);
    http1::RequestHead head;
    ASSERT_EQ(got->head().to_request(head, false), Reject::none);
    EXPECT_EQ(head.path, "/a?b");
    EXPECT_EQ(head.host, "api");
    EXPECT_EQ(head.method, http1::Method::get);
    EXPECT_EQ(head.framing, http1::Framing::chunked) << "its length is not known";
    EXPECT_TRUE(got->has_ended());
    EXPECT_EQ(got->take_data(), "hello");
    pair.server.consume(*got, 5);

    pair.server.respond(*got, ok(), true);
    FieldList trailers;
    trailers.add("Grpc-Status", "0");
    pair.server.offer(*got, "world", true, &trailers);
    pair.exchange();
    EXPECT_TRUE(got->is_taken());
    pair.server.release(*got, H2Error::no_error);
    pair.exchange();
    http1::ResponseHead answer;
    ASSERT_TRUE(asked->has_head());
    ASSERT_EQ(asked->head().to_response(answer, http1::Method::get, false), Reject::none);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(asked->take_data(), "world");
    EXPECT_TRUE(asked->is_closed());
    EXPECT_FALSE(asked->is_reset());
    std::vector<http1::Field> fields;
    ASSERT_EQ(asked->trailers().to_trailers(fields), Reject::none);
    ASSERT_EQ(fields.size(), 1U);
    EXPECT_EQ(fields[0].name, "grpc-status");
    pair.client.release(*asked, H2Error::no_error);
    EXPECT_EQ(pair.client.streams(), 0U);
    EXPECT_EQ(pair.server.streams(), 0U);
}

TEST(Session, DataIsAcknowledgedOnlyWhenItIsConsumed) {
    Pair pair;
    const std::string large(200'000, 'x');
    H2Stream* const asked = pair.client.request(get(), true);
    pair.client.offer(*asked, large, true);
    pair.exchange();
    H2Stream* const got = pair.accept();
    ASSERT_NE(got, nullptr);
    EXPECT_FALSE(asked->is_taken()) << "the window is full";
    std::size_t arrived = got->take_data().size();
    EXPECT_EQ(arrived, 64U * 1024);
    pair.exchange();
    EXPECT_FALSE(got->has_data()) << "nothing was acknowledged";
    std::size_t held = arrived;
    while (!got->has_ended() || got->has_data()) {
        pair.server.consume(*got, held);
        pair.exchange();
        held = got->take_data().size();
        ASSERT_GT(held, 0U);
        arrived += held;
    }
    EXPECT_EQ(arrived, large.size());
    EXPECT_TRUE(asked->is_taken());
    pair.server.release(*got, H2Error::cancel);
    pair.client.release(*asked, H2Error::cancel);
}

TEST(Session, AllStreamsTogetherAreHeldToTheConnectionsWindow) {
    Pair pair({.connection_window = 100'000});
    const std::string large(50'000, 'x');  // half the window: less may not be given back yet
    std::vector<H2Stream*> asked;
    for (int i = 0; i < 5; ++i) {
        asked.push_back(pair.client.request(get(), true));
        pair.client.offer(*asked.back(), large, true);
    }
    pair.exchange();
    std::size_t held = 0;
    std::vector<H2Stream*> got;
    while (H2Stream* const stream = pair.server.next_changed()) {
        stream->owner = &pair;
        got.push_back(stream);
        held += stream->take_data().size();
    }
    EXPECT_EQ(got.size(), 5U);
    EXPECT_EQ(held, 100'000U);
    // What is dropped with its stream is given back.
    for (H2Stream* const stream : got) pair.server.release(*stream, H2Error::cancel);
    pair.exchange();
    for (H2Stream* const stream : asked) {
        EXPECT_TRUE(stream->is_reset());
        pair.client.release(*stream, H2Error::no_error);
    }
    H2Stream* const next = pair.client.request(get(), true);
    pair.client.offer(*next, large, true);
    pair.exchange();
    EXPECT_TRUE(next->is_taken());
    pair.client.release(*next, H2Error::cancel);
}

TEST(Session, AnAnswerBeforeTheRequestsEndStillArrivesWhole) {
    Pair pair;
    H2Stream* const asked = pair.client.request(get(), true);
    pair.exchange();
    H2Stream* const got = pair.accept();
    ASSERT_NE(got, nullptr);
    pair.server.respond(*got, ok(), true);
    pair.server.offer(*got, "no, thank you", true);
    pair.server.pull();
    pair.server.release(*got, H2Error::no_error);
    pair.exchange();
    EXPECT_EQ(asked->take_data(), "no, thank you");
    EXPECT_TRUE(asked->has_ended());
    EXPECT_TRUE(asked->is_closed());
    EXPECT_EQ(asked->error(), 0U);
    EXPECT_EQ(pair.server.streams(), 0U);
    pair.client.release(*asked, H2Error::no_error);
}

TEST(Session, AHeadWithoutABodyIsKeptWhenItsStreamIsReleasedAtOnce) {
    Pair pair;
    H2Stream* const asked = pair.client.request(get(), true);  // the request has not ended
    pair.exchange();
    H2Stream* const got = pair.accept();
    pair.server.respond(*got, ok(), false);
    pair.server.release(*got, H2Error::no_error);
    pair.exchange();
    EXPECT_TRUE(asked->has_head());
    EXPECT_TRUE(asked->has_ended());
    pair.client.release(*asked, H2Error::no_error);
    EXPECT_EQ(pair.server.streams(), 0U);
}

TEST(Session, InterimAnswersComeBeforeTheFinalOne) {
    Pair pair;
    H2Stream* const asked = pair.client.request(get(), false);
    pair.exchange();
    H2Stream* const got = pair.accept();
    FieldList hints;
    hints.add(":status", "103");
    hints.add("link", "</a.css>");
    pair.server.interim(*got, hints);
    pair.server.respond(*got, ok(), false);
    pair.exchange();
    ASSERT_EQ(asked->interim().size(), 1U);
    EXPECT_EQ(asked->interim()[0].status(), 103);
    EXPECT_TRUE(asked->has_head());
    EXPECT_EQ(asked->head().status(), 200);
    pair.server.release(*got, H2Error::no_error);
    pair.client.release(*asked, H2Error::no_error);
}

TEST(Session, StreamsBeyondTheLastOneOfAGoawayWereNotBegun) {
    Pair pair;
    H2Stream* const first = pair.client.request(get(), false);
    pair.exchange();
    H2Stream* const got = pair.accept();
    pair.server.announce_end();
    pair.exchange();
    EXPECT_TRUE(pair.server.end_was_seen());
    EXPECT_TRUE(pair.client.is_going());
    EXPECT_FALSE(pair.client.can_request());
    pair.server.end();
    pair.server.respond(*got, ok(), false);
    pair.exchange();
    EXPECT_TRUE(first->has_ended());
    pair.server.release(*got, H2Error::no_error);
    pair.client.release(*first, H2Error::no_error);
}

TEST(Session, OutputIsBounded) {
    Pair pair({.stream_window = 1U << 20U, .connection_window = 1U << 22U});
    const std::string large(900'000, 'x');
    H2Stream* const asked = pair.client.request(get(), true);
    pair.client.offer(*asked, large, true);
    pair.client.pull();
    EXPECT_GE(pair.client.output().size(), 64U * 1024);
    EXPECT_LE(pair.client.output().size(), 64U * 1024 + 17'000);
    // Released while a frame waits for room: nothing of it may be touched again.
    pair.client.release(*asked, H2Error::cancel);
    pair.exchange();
    H2Stream* const got = pair.accept();
    if (got != nullptr) {
        EXPECT_TRUE(got->is_reset());
        pair.server.release(*got, H2Error::no_error);
    }
}

// --- raw frames

struct Raw {
    Raw() { feed(kPreface + frame(kSettings, 0, 0, "")); }

    explicit Raw(const SessionLimits& limits) : server(Session::Role::server, limits, kStart) {
        feed(kPreface + frame(kSettings, 0, 0, ""));
    }

    bool feed(const std::string& bytes) {
        goes_on = goes_on && server.feed(bytes, now);
        server.pull();
        said += server.output();
        server.output().clear();
        while (H2Stream* const stream = server.next_changed()) {
            if (stream->is_closed()) {
                ++reset;
                server.release(*stream, H2Error::no_error);
            } else if (stream->owner == nullptr) {
                stream->owner = this;
                last = stream;
                ++begun;
            }
        }
        return goes_on && server.abuse() == Abuse::none;
    }

    // The code of the GOAWAY or RST_STREAM that was sent last.
    int code() const { return last_error_code(said); }

    Session server{Session::Role::server, {}, kStart};
    Instant now = kStart;
    std::string said;
    bool goes_on = true;
    H2Stream* last = nullptr;
    int begun = 0;
    int reset = 0;
};

// How many of `bytes` it takes until the connection is ended; 0: it was not, in so many.
int frames_until_closed(Raw& raw, int frames_max, const std::function<std::string(int)>& make) {
    for (int i = 0; i < frames_max; ++i) {
        if (!raw.feed(make(i))) return i + 1;
    }
    return 0;
}

TEST(Abuse, RapidResetsEndTheConnectionWithinAThousandStreams) {
    Raw raw;
    const int taken = frames_until_closed(raw, 1'000, [](int i) {
        const auto id = static_cast<std::uint32_t>(2 * i + 1);
        return frame(kHeaders, kEndHeaders | kEndStream, id, kGetRoot) +
               frame(kRstStream, 0, id, number(8));
    });
    EXPECT_EQ(raw.server.abuse(), Abuse::reset_flood);
    EXPECT_GT(taken, 100) << "some resets are normal";
    EXPECT_LT(taken, 300);
    EXPECT_EQ(raw.code(), 11);
    EXPECT_LE(raw.begun, 1) << "nothing is begun for streams that were reset in the same bytes";
}

TEST(Abuse, ResetsBetweenAnswersAreNotCounted) {
    Pair pair;
    for (int i = 0; i < 2'000; ++i) {
        H2Stream* const asked = pair.client.request(get(), false);
        ASSERT_NE(asked, nullptr) << i;
        pair.exchange();
        H2Stream* const got = pair.accept();
        ASSERT_NE(got, nullptr);
        if (i % 2 == 0) {
            pair.server.respond(*got, ok(), false);
            pair.server.release(*got, H2Error::no_error);
            pair.exchange();
            pair.client.release(*asked, H2Error::no_error);
        } else {
            pair.client.release(*asked, H2Error::cancel);
            pair.exchange();
            EXPECT_TRUE(got->is_reset());
            pair.server.release(*got, H2Error::no_error);
        }
    }
}

TEST(Abuse, StreamsMadeToFailCountLikeResets) {
    Raw raw;
    const int taken = frames_until_closed(raw, 1'000, [](int i) {
        const auto id = static_cast<std::uint32_t>(2 * i + 1);
        return frame(kHeaders, kEndHeaders, id, kGetRoot) +
               frame(kWindowUpdate, 0, id, number(0));  // an error of the stream
    });
    EXPECT_NE(raw.server.abuse(), Abuse::none);
    EXPECT_GT(taken, 0);
    EXPECT_LT(taken, 300);
}

TEST(Abuse, FramesThatCarryNothingEndTheConnectionWithinTenThousand) {
    const std::map<std::string, std::function<std::string(int)>> floods = {
        {"settings", [](int) { return frame(kSettings, 0, 0, ""); }},
        {"ping", [](int) { return frame(kPing, 0, 0, std::string(8, 'p')); }},
        {"priority", [](int) { return frame(kPriority, 0, 1, number(3) + "\x10"); }},
        {"window update", [](int) { return frame(kWindowUpdate, 0, 0, number(1)); }},
        {"unknown type", [](int) { return frame(0x42, 0, 0, "x"); }},
    };
    for (const auto& [name, make] : floods) {
        Raw raw;
        const int taken = frames_until_closed(raw, 10'000, make);
        EXPECT_GT(taken, 100) << name;
        EXPECT_LE(taken, 2'100) << name;
        EXPECT_NE(raw.server.abuse(), Abuse::none) << name;
    }
}

TEST(Abuse, EmptyDataEndsTheConnection) {
    Raw raw;
    raw.feed(frame(kHeaders, kEndHeaders, 1, kGetRoot));
    const int taken = frames_until_closed(raw, 10'000, [](int) { return frame(kData, 0, 1, ""); });
    EXPECT_GT(taken, 1'000);
    EXPECT_EQ(raw.server.abuse(), Abuse::frame_flood);
    Raw padded;
    padded.feed(frame(kHeaders, kEndHeaders, 1, kGetRoot));
    const std::string padding = std::string("\x03", 1) + std::string(3, '\0');
    EXPECT_GT(
        frames_until_closed(padded, 10'000, [&](int) { return frame(kData, kPadded, 1, padding); }),
        1'000
    );
}

TEST(Abuse, ContinuationsEndTheConnection) {
    for (const std::size_t bytes : {0U, 100U}) {
        Raw raw;
        raw.feed(frame(kHeaders, 0, 1, kGetRoot));
        // A literal field of `bytes`, which is never the last.
        const std::string piece = bytes == 0 ? ""
                                             : std::string(
                                                   "\x00\x01"
                                                   "a",
                                                   3
                                               ) + static_cast<char>(bytes - 4) +
                                                   std::string(bytes - 4, 'x');
        const int taken =
            frames_until_closed(raw, 1'000, [&](int) { return frame(kContinuation, 0, 1, piece); });
        EXPECT_GT(taken, 0) << bytes;
        EXPECT_LT(taken, 20) << bytes;
    }
}

TEST(Abuse, AnHpackBombIsNotKept) {
    Raw raw;
    // One entry of 3,900 bytes in the table, then references to it: the 63rd, behind :authority.
    const std::string value(3'900, 'v');
    std::string block = kGetRoot;
    block += std::string(
                 "\x40\x01"
                 "a",
                 3
             ) +
             "\x7f" + static_cast<char>(0x80 | ((3'900 - 127) & 0x7f)) +
             static_cast<char>((3'900 - 127) >> 7) + value;
    raw.feed(frame(kHeaders, kEndHeaders | kEndStream, 1, block));
    EXPECT_TRUE(raw.goes_on);
    EXPECT_EQ(raw.begun, 1);
    const std::string bomb = kGetRoot + std::string(12'000, '\xbf');
    EXPECT_FALSE(raw.feed(frame(kHeaders, kEndHeaders | kEndStream, 3, bomb)));
    EXPECT_EQ(raw.server.abuse(), Abuse::head_too_large);
    EXPECT_EQ(raw.code(), 11);
    // A little over the limit is an honest mistake: the stream goes on, to be answered 431.
    Raw mild;
    mild.feed(frame(kHeaders, kEndHeaders | kEndStream, 1, block));
    EXPECT_TRUE(
        mild.feed(frame(kHeaders, kEndHeaders | kEndStream, 3, kGetRoot + std::string(20, '\xbf')))
    );
    EXPECT_EQ(mild.begun, 2);
}

TEST(Abuse, StreamsBeyondTheLimitAreRefused) {
    Raw raw(SessionLimits{.streams_max = 3});
    for (const std::uint32_t id : {1U, 3U, 5U, 7U})
        raw.feed(frame(kHeaders, kEndHeaders, id, kGetRoot));
    EXPECT_EQ(raw.begun, 3);
    EXPECT_EQ(raw.code(), 7);
    EXPECT_TRUE(raw.goes_on) << "it may not have known";
    raw.feed(frame(kSettings, kAck, 0, ""));
    raw.feed(frame(kHeaders, kEndHeaders, 9, kGetRoot));
    EXPECT_EQ(raw.begun, 3);
    EXPECT_EQ(raw.code(), 1) << "now it does";
    EXPECT_EQ(raw.server.abuse(), Abuse::protocol_error);
}

TEST(Strict, FramesOnClosedStreamsAreErrors) {
    const std::string opened = frame(kHeaders, kEndHeaders, 1, kGetRoot);
    const std::string reset = frame(kRstStream, 0, 1, number(8));
    {
        Raw raw;  // h2spec 5.1/8
        raw.feed(opened + reset);
        EXPECT_FALSE(raw.feed(frame(kData, 0, 1, "x")));
        EXPECT_EQ(raw.code(), 5);
    }
    {
        Raw raw;  // h2spec 5.1/9
        raw.feed(opened + reset);
        EXPECT_FALSE(raw.feed(frame(kHeaders, kEndHeaders, 1, kGetRoot)));
        EXPECT_EQ(raw.code(), 5);
    }
    {
        Raw raw;  // h2spec 5.1.1/2: smaller than one before, and never opened
        raw.feed(frame(kHeaders, kEndHeaders, 5, kGetRoot));
        EXPECT_FALSE(raw.feed(frame(kHeaders, kEndHeaders, 3, kGetRoot)));
        EXPECT_EQ(raw.code(), 1);
    }
}

TEST(Strict, WhatWasOnItsWayToAStreamWeResetIsForgiven) {
    Pair pair;
    H2Stream* const asked = pair.client.request(get(), true);
    pair.exchange();
    H2Stream* const got = pair.accept();
    ASSERT_NE(got, nullptr);
    pair.server.release(*got, H2Error::internal_error);
    pair.server.pull();  // on its way
    pair.client.offer(*asked, "late", true);
    pair.exchange();
    EXPECT_TRUE(asked->is_reset());
    EXPECT_EQ(pair.server.abuse(), Abuse::none);
    pair.client.release(*asked, H2Error::no_error);
}

TEST(Strict, PrioritiesAreReadForTheirErrorsOnly) {
    constexpr std::uint8_t kPriorityFrame = 2;
    const auto priority = [](std::uint32_t stream, std::uint32_t on) {
        return frame(kPriorityFrame, 0, stream, number(on) + "\x10");
    };
    Raw fine;
    EXPECT_TRUE(fine.feed(priority(1, 0) + priority(3, 1) + priority(5, 0x80000003U)));
    for (const std::string& wrong : {priority(0, 1), priority(7, 7), priority(7, 0x80000007U)}) {
        Raw raw;  // h2spec 6.3/1, 5.3.1/2; also byte by byte
        bool goes_on = raw.feed(priority(3, 1));
        for (const char c : wrong) goes_on = goes_on && raw.feed(std::string(1, c));
        EXPECT_FALSE(goes_on);
        EXPECT_EQ(raw.code(), 1);
        EXPECT_EQ(raw.server.abuse(), Abuse::protocol_error);
        Raw at_once;
        EXPECT_FALSE(at_once.feed(wrong));
        EXPECT_EQ(at_once.code(), 1);
    }
}

// Not only its GOAWAY goes: the connection is over with it (RFC 9113 5.4.1).
TEST(Strict, WhatNghttp2EndsByItselfIsOver) {
    Raw raw;
    EXPECT_FALSE(raw.feed(frame(kPing, 0, 1, "12345678")));
    EXPECT_EQ(raw.code(), 1);
}

// --- the head of a request

struct Case {
    const char* name;
    std::vector<std::pair<std::string, std::string>> fields;  // beside or instead of the usual ones
};

class Downgrade : public testing::TestWithParam<Case> {};

// Every request that HTTP/2 could smuggle into HTTP/1.1: refused by nghttp2 (the stream is reset)
// or by to_request().
TEST_P(Downgrade, IsRefused) {
    Raw raw;
    std::map<std::string, std::string> pseudo = {
        {":method", "GET"}, {":scheme", "http"}, {":authority", "api"}, {":path", "/"}
    };
    std::string rest;
    for (const auto& [name, value] : GetParam().fields) {
        if (pseudo.contains(name) && value != "(again)") {
            pseudo[name] = value;
        } else {
            rest += literal(name, value == "(again)" ? "x" : value);
        }
    }
    std::string block;
    for (const auto& [name, value] : pseudo) {
        if (value != "(none)") block += literal(name, value);
    }
    raw.feed(frame(kHeaders, kEndHeaders, 1, block + rest));
    if (raw.begun == 0) {
        EXPECT_THAT(raw.code(), testing::AnyOf(1, 2)) << "reset as an error";
        return;
    }
    http1::RequestHead head;
    EXPECT_NE(raw.last->head().to_request(head, false), Reject::none);
}

const Case kAttacks[] = {
    {"CrLfInValue", {{"x", "a\r\nb: c"}}},
    {"LfInValue", {{"x", "a\nb: c"}}},
    {"CrInValue", {{"x", "a\rb"}}},
    {"NulInValue", {{"x", std::string("a\0b", 3)}}},
    {"CrLfInName", {{"x\r\ny", "1"}}},
    {"ColonInName", {{"x:y", "1"}}},
    {"BlankInName", {{"x y", "1"}}},
    {"UpperCaseName", {{"X", "1"}}},
    {"EmptyName", {{"", "1"}}},
    {"CrLfInPath", {{":path", "/ HTTP/1.1\r\nx: y"}}},
    {"BlankInPath", {{":path", "/a b"}}},
    {"EmptyPath", {{":path", ""}}},
    {"NoPath", {{":path", "(none)"}}},
    {"TwoPaths", {{":path", "(again)"}}},
    {"CrLfInMethod", {{":method", "GET / HTTP/1.1\r\n"}}},
    {"BlankInMethod", {{":method", "GET /"}}},
    {"NoMethod", {{":method", "(none)"}}},
    {"CrLfInAuthority", {{":authority", "api\r\nx: y"}}},
    {"NoScheme", {{":scheme", "(none)"}}},
    {"UnknownPseudo", {{":foo", "x"}}},
    {"StatusInARequest", {{":status", "200"}}},
    {"PseudoAfterAField", {{"x", "1"}, {":path", "(again)"}}},
    {"TransferEncoding", {{"transfer-encoding", "chunked"}}},
    {"Connection", {{"connection", "close"}}},
    {"KeepAlive", {{"keep-alive", "1"}}},
    {"ProxyConnection", {{"proxy-connection", "close"}}},
    {"Upgrade", {{"upgrade", "h2c"}}},
    {"TeOfAnotherKind", {{"te", "gzip"}}},
    {"TwoLengths", {{"content-length", "3"}, {"content-length", "4"}}},
    {"NegativeLength", {{"content-length", "-3"}}},
    {"LengthOfLetters", {{"content-length", "abc"}}},
};

INSTANTIATE_TEST_SUITE_P(All, Downgrade, testing::ValuesIn(kAttacks), [](const auto& each) {
    return each.param.name;
});

Reject read(const std::vector<std::pair<std::string, std::string>>& more, bool ended = true) {
    std::map<std::string, std::string> pseudo = {
        {":authority", "api"}, {":method", "GET"}, {":path", "/"}, {":scheme", "http"}
    };
    HeadBlock block;
    for (const auto& [name, value] : more) {
        if (name.starts_with(':')) pseudo[name] = value;
    }
    for (const auto& [name, value] : pseudo) block.add(name, value, {});
    for (const auto& [name, value] : more) {
        if (!name.starts_with(':')) block.add(name, value, {});
    }
    http1::RequestHead head;
    return block.to_request(head, ended);
}

TEST(HeadBlock, RefusesWhatTwoReadersCouldReadDifferently) {
    EXPECT_EQ(read({}), Reject::none);
    EXPECT_EQ(read({{"host", "api"}}), Reject::none);
    EXPECT_EQ(read({{"host", "other"}}), Reject::host_mismatch);
    EXPECT_EQ(read({{"host", "api"}, {"host", "api"}}), Reject::two_hosts);
    EXPECT_EQ(read({{":authority", ""}}), Reject::no_host);
    EXPECT_EQ(read({{":authority", ""}, {"host", "api"}}), Reject::none);
    EXPECT_EQ(read({{":authority", "user@api"}}), Reject::bad_host);
    EXPECT_EQ(read({{":path", "*"}}), Reject::bad_target);
    EXPECT_EQ(read({{":path", "*"}, {":method", "OPTIONS"}}), Reject::none);
    EXPECT_EQ(read({{":path", "http://other/"}}), Reject::bad_target);
    EXPECT_EQ(read({{":path", "a"}}), Reject::bad_target);
    EXPECT_EQ(read({{":path", "/a#b"}}), Reject::bad_target);
    EXPECT_EQ(read({{":method", "GE(T"}}), Reject::bad_method);
    EXPECT_EQ(read({{":scheme", "ftp"}}), Reject::bad_target);
    EXPECT_EQ(read({{"content-length", "3,3"}}, false), Reject::two_lengths);
    EXPECT_EQ(read({{"content-length", "3"}}, true), Reject::truncated_body);
    EXPECT_EQ(read({{"content-length", "3"}}, false), Reject::none);
    EXPECT_EQ(read({{"x", "a\rb"}}), Reject::control_byte);
    EXPECT_EQ(read({{"x", " a"}}), Reject::control_byte);
    EXPECT_EQ(read({{"expect", "something"}}), Reject::unknown_expectation);
}

TEST(HeadBlock, JoinsCookieCrumbs) {
    HeadBlock block;
    for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
             {":method", "GET"},
             {":scheme", "http"},
             {":authority", "api"},
             {":path", "/"},
             {"cookie", "a=1"},
             {"x", "y"},
             {"cookie", "b=2"}
         })
        block.add(name, value, {});
    http1::RequestHead head;
    ASSERT_EQ(block.to_request(head, true), Reject::none);
    ASSERT_EQ(head.fields.size(), 2U);
    EXPECT_EQ(head.value(http1::Header::cookie), "a=1; b=2");
}

TEST(HeadBlock, RefusesTrailersThatBelongInFront) {
    HeadBlock block;
    block.add("content-length", "1", {});
    std::vector<http1::Field> fields;
    EXPECT_EQ(block.to_trailers(fields), Reject::forbidden_trailer);
    block.clear();
    block.add(":path", "/", {});
    EXPECT_EQ(block.to_trailers(fields), Reject::forbidden_trailer);
}

TEST(HeadBlock, IsBounded) {
    HeadBlock block;
    const BlockLimits limits{.bytes_max = 1'000, .fields_max = 5};
    for (int i = 0; i < 6; ++i) block.add("a", "b", limits);
    http1::RequestHead head;
    EXPECT_EQ(block.to_request(head, true), Reject::too_many_fields);
    block.clear();
    block.add("a", std::string(970, 'x'), limits);
    EXPECT_EQ(block.to_request(head, true), Reject::head_too_large);
    EXPECT_EQ(block.bytes(), 1'003U);
}

}  // namespace
}  // namespace datapunk::mesh::wire::http2
