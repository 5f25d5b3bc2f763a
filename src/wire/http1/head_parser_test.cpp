#include "wire/http1/head_parser.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "core/rng.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::wire::http1 {
namespace {

using State = ParseResult::State;

std::string printed(const Head& head) {
    std::string out = fmt::format(
        "1.{} framing={} length={}/{} keep={} upgrade={}:{}",
        head.minor_version,
        static_cast<int>(head.framing),
        head.has_content_length,
        head.content_length,
        head.keep_alive,
        head.has_upgrade,
        head.upgrade
    );
    for (const Field& field : head.fields)
        out += fmt::format("\n[{}]={}=[{}]", field.name, static_cast<int>(field.id), field.value);
    return out;
}

std::string printed(const ParseResult& result, const RequestHead& head) {
    if (result.state == State::incomplete) return "incomplete";
    if (result.state == State::bad) return fmt::format("bad {}", to_string(result.why));
    return fmt::format(
        "done {} {} {} path={} host={} 100={} {}",
        result.head_bytes,
        head.method_text,
        head.target,
        head.path,
        head.host,
        head.expects_continue,
        printed(static_cast<const Head&>(head))
    );
}

std::string printed(const ParseResult& result, const ResponseHead& head) {
    if (result.state == State::incomplete) return "incomplete";
    if (result.state == State::bad) return fmt::format("bad {}", to_string(result.why));
    return fmt::format(
        "done {} {} {} {}",
        result.head_bytes,
        head.status,
        head.reason,
        printed(static_cast<const Head&>(head))
    );
}

// A copy of exactly these bytes, so that a sanitizer sees any read past them.
class Exact {
  public:
    explicit Exact(std::string_view text) : bytes_(new char[text.size()]), size_(text.size()) {
        text.copy(bytes_.get(), size_);
    }

    std::string_view view() const { return {bytes_.get(), size_}; }

  private:
    std::unique_ptr<char[]> bytes_;
    std::size_t size_;
};

template <class HeadType>
ParseResult parse_with(HeadParser& parser, std::string_view bytes, HeadType& head) {
    if constexpr (std::is_same_v<HeadType, RequestHead>)
        return parser.parse_request(bytes, head);
    else
        return parser.parse_response(bytes, Method::get, head);
}

// Parses whole, in two pieces split anywhere, and byte by byte; the verdict must be one.
template <class HeadType>
std::string verdict(std::string_view text, Limits limits = {}) {
    HeadParser whole(limits);
    HeadType head;
    const Exact all(text);
    const std::string expected = printed(parse_with(whole, all.view(), head), head);
    HeadParser bytewise(limits);
    HeadType grown;
    std::string got;
    auto buffer = std::make_unique<Exact>("");
    for (std::size_t i = 1; i <= text.size(); ++i) {
        auto longer = std::make_unique<Exact>(text.substr(0, i));
        buffer = std::move(longer);  // the bytes move with every call
        const ParseResult result = parse_with(bytewise, buffer->view(), grown);
        got = printed(result, grown);
        if (result.state != State::incomplete) break;
    }
    EXPECT_EQ(got, expected) << "byte by byte: " << text;
    for (std::size_t i = 1; i < text.size(); ++i) {
        HeadParser split(limits);
        HeadType halves;
        const Exact first(text.substr(0, i));
        ParseResult result = parse_with(split, first.view(), halves);
        if (result.state == State::incomplete) result = parse_with(split, all.view(), halves);
        EXPECT_EQ(printed(result, halves), expected) << "split at " << i << ": " << text;
    }
    return expected;
}

struct BadCase {
    std::string_view text;
    Reject why;
};

using namespace std::string_view_literals;

#define HOST "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

TEST(HeadParser, RefusesWhatTwoReadersCouldReadDifferently) {
    const BadCase cases[] = {
        // Line ends and control bytes.
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", Reject::bare_lf},
        {GET "X: y\n\r\n", Reject::bare_lf},
        {GET "\n", Reject::bare_lf},
        {"\nGET / HTTP/1.1\r\n" HOST "\r\n", Reject::bare_lf},
        {"GET / HTTP/1.1\rHost: a\r\n\r\n", Reject::bare_cr},
        {GET "X: a\rb\r\n\r\n", Reject::bare_cr},
        {GET "X: a\r\r\n\r\n", Reject::bare_cr},
        {GET "\rX: y\r\n\r\n", Reject::bare_cr},
        {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", Reject::bad_method},
        {GET "X: a\0b\r\n\r\n"sv, Reject::control_byte},
        {GET "X\0: b\r\n\r\n"sv, Reject::control_byte},
        {GET "X: a\x0c\r\n\r\n", Reject::control_byte},
        {GET "X: a\x0b\r\n\r\n", Reject::control_byte},
        {GET "X: a\x7f\r\n\r\n", Reject::control_byte},
        {"GET /\0 HTTP/1.1\r\n" HOST "\r\n"sv, Reject::control_byte},
        {"\x16\x03\x01\x02", Reject::control_byte},  // a TLS hello
        // Folds, blanks and names.
        {GET "X: a\r\n b\r\n\r\n", Reject::obs_fold},
        {GET "X: a\r\n\tb\r\n\r\n", Reject::obs_fold},
        {"GET / HTTP/1.1\r\n " HOST "\r\n", Reject::obs_fold},
        {GET "Transfer-Encoding : chunked\r\n\r\n", Reject::space_before_colon},
        {GET "Transfer-Encoding\t: chunked\r\n\r\n", Reject::space_before_colon},
        {GET "Content-Length 5\r\n\r\n", Reject::bad_field_name},
        {GET "Content Length: 5\r\n\r\n", Reject::bad_field_name},
        {GET ": x\r\n\r\n", Reject::bad_field_name},
        {GET "X(y): x\r\n\r\n", Reject::bad_field_name},
        {GET "X\x80: x\r\n\r\n", Reject::bad_field_name},
        {GET "\"X\": x\r\n\r\n", Reject::bad_field_name},
        {GET "no-colon\r\n\r\n", Reject::no_colon},
        // Request line.
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", Reject::bad_request_line},
        {"GET /  HTTP/1.1\r\n" HOST "\r\n", Reject::bad_version},
        {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", Reject::bad_method},
        {" GET / HTTP/1.1\r\n" HOST "\r\n", Reject::bad_method},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", Reject::bad_version},
        {"GET /\r\n", Reject::bad_request_line},
        {"GET\r\n", Reject::bad_request_line},
        {"GET / \r\n" HOST "\r\n", Reject::bad_version},
        {"G(T / HTTP/1.1\r\n" HOST "\r\n", Reject::bad_method},
        {"GET / http/1.1\r\n" HOST "\r\n", Reject::bad_version},
        {"GET / HTTP/1.10\r\n" HOST "\r\n", Reject::bad_version},
        {"GET / HTTP/01.1\r\n" HOST "\r\n", Reject::bad_version},
        {"GET / HTTP/1,1\r\n" HOST "\r\n", Reject::bad_version},
        {"GET / ICY/1.1\r\n" HOST "\r\n", Reject::bad_version},
        {"GET / HTTP/1.2\r\n" HOST "\r\n", Reject::unsupported_version},
        {"GET / HTTP/0.9\r\n" HOST "\r\n", Reject::unsupported_version},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reject::unsupported_version},
        // Targets.
        {"GET x HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET * HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET /#x HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET http://a?x HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"CONNECT / HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"CONNECT a HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"CONNECT a:99999 HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        {"GET a:80 HTTP/1.1\r\n" HOST "\r\n", Reject::bad_target},
        // Host.
        {"GET / HTTP/1.1\r\n\r\n", Reject::no_host},
        {"GET http://a/ HTTP/1.1\r\n\r\n", Reject::no_host},
        {GET HOST "\r\n", Reject::two_hosts},
        {GET "hOST: b\r\n\r\n", Reject::two_hosts},
        {"GET / HTTP/1.0\r\n" HOST HOST "\r\n", Reject::two_hosts},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Reject::bad_host},
        {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", Reject::bad_host},
        {"GET http://b/ HTTP/1.1\r\n" HOST "\r\n", Reject::host_mismatch},
        {"GET http://a:80/ HTTP/1.1\r\n" HOST "\r\n", Reject::host_mismatch},
        // Lengths.
        {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", Reject::two_lengths},
        {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", Reject::two_lengths},
        {POST "Content-Length: 5, 5\r\n\r\n", Reject::two_lengths},
        {POST "Content-Length: 5,\r\n\r\n", Reject::two_lengths},
        {POST "Content-Length: +5\r\n\r\n", Reject::bad_content_length},
        {POST "Content-Length: -5\r\n\r\n", Reject::bad_content_length},
        {POST "Content-Length: 0x5\r\n\r\n", Reject::bad_content_length},
        {POST "Content-Length: 5 5\r\n\r\n", Reject::bad_content_length},
        {POST "Content-Length:\r\n\r\n", Reject::bad_content_length},
        {POST "Content-Length: 5 \t \r\n\r\n", Reject::bad_content_length},
        {POST "Content-Length: 18446744073709551616\r\n\r\n", Reject::bad_content_length},
        // Codings.
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::te_and_length},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Reject::te_and_length},
        {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", Reject::te_in_http10},
        {POST "Transfer-Encoding: gzip\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: chunked, identity\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: xchunked\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: chunked\t\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: chunke\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: chunked;a=b\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: ,chunked\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding:\r\n\r\n", Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
         Reject::unknown_transfer_coding},
        {POST "Transfer-Encoding: \x80"
              "chunked\r\n\r\n",
         Reject::unknown_transfer_coding},
        {POST "Expect: 200-maybe\r\n\r\n", Reject::unknown_expectation},
    };
    for (const BadCase& c : cases)
        EXPECT_EQ(verdict<RequestHead>(c.text), fmt::format("bad {}", to_string(c.why))) << c.text;
}

RequestHead parsed(std::string_view text) {
    EXPECT_THAT(verdict<RequestHead>(text), testing::StartsWith("done")) << text;
    HeadParser parser;
    RequestHead head;
    EXPECT_EQ(parser.parse_request(text, head).head_bytes, text.size());
    return head;
}

TEST(HeadParser, ReadsOddButValidRequests) {
    EXPECT_EQ(parsed("\r\n" GET "\r\n").path, "/");
    EXPECT_EQ(parsed("M-SEARCH /x?{a}|b HTTP/1.1\r\n" HOST "\r\n").method, Method::other);
    EXPECT_EQ(parsed("get / HTTP/1.1\r\n" HOST "\r\n").method, Method::other);
    EXPECT_EQ(parsed("OPTIONS * HTTP/1.1\r\n" HOST "\r\n").path, "*");
    EXPECT_EQ(parsed("OPTIONS http://a HTTP/1.1\r\n" HOST "\r\n").path, "*");
    EXPECT_EQ(parsed("GET http://a HTTP/1.1\r\n" HOST "\r\n").path, "/");
    EXPECT_EQ(parsed("GET HTTPS://A:1/x?y HTTP/1.1\r\nHost: a:1\r\n\r\n").path, "/x?y");
    EXPECT_EQ(parsed("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n").host, "[::1]:443");
    EXPECT_EQ(parsed("GET / HTTP/1.0\r\n\r\n").host, "");
    EXPECT_EQ(parsed(GET "X:\r\n\r\n").fields[1].value, "");
    EXPECT_EQ(parsed(GET "X: \t a\tb\xff \t\r\n\r\n").fields[1].value, "a\tb\xff");
    EXPECT_EQ(parsed(GET "X:y:z\r\n\r\n").fields[1].value, "y:z");
    EXPECT_EQ(parsed(GET "!#$%&'*+-.^_`|~9a: y\r\n\r\n").fields.size(), 2U);
    EXPECT_EQ(parsed(POST "Content-Length: 007\r\n\r\n").content_length, 7U);
    const std::string most = POST "Content-Length: 18446744073709551615\r\n\r\n";
    EXPECT_EQ(parsed(most).content_length, UINT64_MAX);
    EXPECT_EQ(parsed(POST "Content-Length: 0\r\n\r\n").framing, Framing::none);
    EXPECT_EQ(parsed(POST "transfer-encoding:ChUnKeD \r\n\r\n").framing, Framing::chunked);
    EXPECT_TRUE(parsed(POST "Expect: 100-Continue\r\n\r\n").expects_continue);
}

TEST(HeadParser, KnowsWhetherTheSenderKeepsTheConnection) {
    EXPECT_TRUE(parsed(GET "\r\n").keep_alive);
    EXPECT_FALSE(parsed(GET "Connection: x, Close\r\n\r\n").keep_alive);
    EXPECT_FALSE(parsed(GET "Connection: keep-alive\r\nConnection: close\r\n\r\n").keep_alive);
    EXPECT_TRUE(parsed(GET "Connection: closed\r\n\r\n").keep_alive);
    EXPECT_FALSE(parsed("GET / HTTP/1.0\r\n\r\n").keep_alive);
    EXPECT_TRUE(parsed("GET / HTTP/1.0\r\nConnection: ,Keep-Alive\r\n\r\n").keep_alive);
}

TEST(HeadParser, OffersUpgradeOnlyIfConnectionListsIt) {
    EXPECT_EQ(parsed(GET "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n").upgrade, "websocket");
    EXPECT_FALSE(parsed(GET "Upgrade: websocket\r\n\r\n").has_upgrade);
    EXPECT_FALSE(parsed("GET / HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").has_upgrade);
}

TEST(HeadParser, HoldsEachLimitOnBothSides) {
    const std::string head = GET "\r\n";
    EXPECT_THAT(
        verdict<RequestHead>(head, {.head_bytes_max = head.size()}), testing::StartsWith("done")
    );
    EXPECT_EQ(
        verdict<RequestHead>(head, {.head_bytes_max = head.size() - 1}), "bad head_too_large"
    );
    EXPECT_THAT(verdict<RequestHead>(head, {.fields_max = 1}), testing::StartsWith("done"));
    EXPECT_EQ(verdict<RequestHead>(head, {.fields_max = 0}), "bad too_many_fields");
    const Limits short_target{.target_bytes_max = 8};
    EXPECT_THAT(
        verdict<RequestHead>("GET /2345678 HTTP/1.1\r\n" HOST "\r\n", short_target),
        testing::StartsWith("done")
    );
    EXPECT_EQ(
        verdict<RequestHead>("GET /23456789 HTTP/1.1\r\n" HOST "\r\n", short_target),
        "bad target_too_long"
    );
    EXPECT_EQ(
        verdict<RequestHead>("GET /" + std::string(200, 'x'), short_target), "bad target_too_long"
    );
    EXPECT_EQ(
        verdict<RequestHead>(std::string(33, 'A') + " / HTTP/1.1\r\n" HOST "\r\n"), "bad bad_method"
    );
}

TEST(HeadParser, ReadsPipelinedRequestsOneByOneWithoutGrowingFields) {
    const std::string two = GET "A: 1\r\n\r\nPOST /2 HTTP/1.1\r\n" HOST "\r\nrest";
    HeadParser parser;
    RequestHead head;
    const ParseResult first = parser.parse_request(two, head);
    ASSERT_EQ(first.state, State::done);
    const Field* const storage = head.fields.data();
    const ParseResult second =
        parser.parse_request(std::string_view(two).substr(first.head_bytes), head);
    ASSERT_EQ(second.state, State::done);
    EXPECT_EQ(head.path, "/2");
    EXPECT_EQ(head.fields.data(), storage);
    EXPECT_EQ(two.substr(first.head_bytes + second.head_bytes), "rest");
}

TEST(HeadParser, SaysHttpStatusForEachReason) {
    EXPECT_EQ(http_status(Reject::bare_lf), 400);
    EXPECT_EQ(http_status(Reject::target_too_long), 414);
    EXPECT_EQ(http_status(Reject::unknown_expectation), 417);
    EXPECT_EQ(http_status(Reject::head_too_large), 431);
    EXPECT_EQ(http_status(Reject::unknown_transfer_coding), 501);
    EXPECT_EQ(http_status(Reject::unsupported_version), 505);
}

TEST(HeadParser, RefusesBadResponses) {
    const BadCase cases[] = {
        {"HTTP/1.1 20 OK\r\n\r\n", Reject::bad_status_line},
        {"HTTP/1.1 2000 OK\r\n\r\n", Reject::bad_status_line},
        {"HTTP/1.1 099 x\r\n\r\n", Reject::bad_status_line},
        {"HTTP/1.1 600 x\r\n\r\n", Reject::bad_status_line},
        {"HTTP/1.1  200 OK\r\n\r\n", Reject::bad_status_line},
        {"HTTP/1.1\r\n\r\n", Reject::bad_status_line},
        {"HTTP/1.1 200\tOK\r\n\r\n", Reject::bad_status_line},
        {"HTTP/2.0 200 OK\r\n\r\n", Reject::unsupported_version},
        {"garbage that is not HTTP\r\n\r\n", Reject::bad_version},
        {"\r\nHTTP/1.1 200 OK\r\n\r\n", Reject::bad_version},
        {"HTTP/1.1 200 OK\nX: y\r\n\r\n", Reject::bare_lf},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Reject::two_lengths},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         Reject::te_and_length},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::te_in_http10},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
         Reject::unknown_transfer_coding},
        {"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", Reject::obs_fold},
    };
    for (const BadCase& c : cases)
        EXPECT_EQ(verdict<ResponseHead>(c.text), fmt::format("bad {}", to_string(c.why))) << c.text;
    EXPECT_EQ(verdict<ResponseHead>(std::string(600, 'x')), "bad bad_status_line");
}

ResponseHead response(std::string_view text, Method method = Method::get) {
    EXPECT_THAT(verdict<ResponseHead>(text), testing::StartsWith("done")) << text;
    HeadParser parser;
    ResponseHead head;
    EXPECT_EQ(parser.parse_response(text, method, head).state, State::done);
    return head;
}

TEST(HeadParser, FramesResponsesByStatusAndMethod) {
    const std::string_view with_length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    EXPECT_EQ(response(with_length).framing, Framing::length);
    EXPECT_EQ(response(with_length, Method::head).framing, Framing::none);
    EXPECT_EQ(response(with_length, Method::head).content_length, 5U);
    EXPECT_EQ(response(with_length, Method::connect).framing, Framing::none);
    EXPECT_EQ(
        response("HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", Method::connect).framing,
        Framing::length
    );
    EXPECT_EQ(response("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n").framing, Framing::none);
    EXPECT_EQ(response("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n").framing, Framing::none);
    EXPECT_EQ(response("HTTP/1.1 100 Continue\r\n\r\n").framing, Framing::none);
    EXPECT_TRUE(response("HTTP/1.1 103 Early Hints\r\n\r\n").is_interim());
    EXPECT_FALSE(response("HTTP/1.1 101 x\r\n\r\n").is_interim());
    EXPECT_EQ(
        response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").framing, Framing::chunked
    );
    const ResponseHead open_ended = response("HTTP/1.1 200\r\n\r\n");
    EXPECT_EQ(open_ended.framing, Framing::until_close);
    EXPECT_FALSE(open_ended.keep_alive);
    EXPECT_EQ(open_ended.reason, "");
    EXPECT_EQ(response("HTTP/1.1 200 \r\n\r\n").reason, "");
    EXPECT_EQ(
        response("HTTP/1.1 200 Very \xfc"
                 "ber OK\r\n\r\n")
            .reason,
        "Very \xfc"
        "ber OK"
    );
}

TEST(HeadParser, ReadsBackWhatWasEncoded) {
    const char* const given = std::getenv("SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    core::Rng rng(seed);
    const std::string_view name_bytes = "abcXYZ019-_.!~";
    const std::string_view value_bytes = "abc ;=,\t\"\x80\xff/";
    const auto text = [&](std::string_view from, std::uint64_t size) {
        std::string out;
        while (out.size() < size) out += from[rng.below(from.size())];
        return out;
    };
    for (int round = 0; round < 2000; ++round) {
        const std::string target = "/" + text("abc%20?&=/~{}", rng.below(40));
        std::string bytes;
        append_request_line(bytes, "PATCH", target);
        append_field(bytes, "Host", "a.b:80");
        std::vector<std::pair<std::string, std::string>> sent;
        for (std::uint64_t n = rng.below(20); n > 0; --n) {
            sent.emplace_back(
                "x" + text(name_bytes, rng.below(30)), "v" + text(value_bytes, rng.below(60)) + "v"
            );
            append_field(bytes, sent.back().first, sent.back().second);
        }
        bytes += kHeadEnd;
        HeadParser parser;
        RequestHead head;
        const std::size_t cut = rng.below(bytes.size());
        const std::string first = bytes.substr(0, cut);
        ASSERT_EQ(parser.parse_request(first, head).state, State::incomplete);
        ASSERT_EQ(parser.parse_request(bytes, head).state, State::done) << bytes;
        ASSERT_EQ(head.target, target);
        ASSERT_EQ(head.host, "a.b:80");
        ASSERT_EQ(head.fields.size(), sent.size() + 1);
        for (std::size_t i = 0; i < sent.size(); ++i) {
            ASSERT_EQ(head.fields[i + 1].name, sent[i].first);
            ASSERT_EQ(head.fields[i + 1].value, sent[i].second);
        }
    }
}

TEST(Header, IsFoundInAnyCaseAndNamesRoundTrip) {
    for (int i = 1; i <= static_cast<int>(Header::x_request_id); ++i) {
        const auto id = static_cast<Header>(i);
        std::string name(to_string(id));
        EXPECT_EQ(header_of(name), id);
        for (char& c : name) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
        EXPECT_EQ(header_of(name), id);
        name.back() = '~';
        EXPECT_EQ(header_of(name), Header::unknown);
        EXPECT_EQ(header_of(to_string(id).substr(1)), Header::unknown);
    }
    EXPECT_EQ(header_of(""), Header::unknown);
    EXPECT_EQ(to_string(Header::x_forwarded_for), "x-forwarded-for");
    EXPECT_EQ(to_string(Header::content_length), "content-length");
}

}  // namespace
}  // namespace datapunk::mesh::wire::http1
