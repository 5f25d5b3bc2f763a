// Callers of gRPC-Web before endpoints of gRPC, in virtual time: what the endpoint sees, what the
// caller gets, how calls end.

#include <algorithm>

#include "core/strings.h"
#include "proxy/http2_world_test.h"
#include "wire/grpc/web.h"

namespace datapunk::mesh::proxy {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kMessage("\0\0\0\0\3abc", 8);

// The endpoint is a second proxy, which speaks HTTP/2 to the first one and HTTP/1.1 to `a`.
struct WebWorld : Chain {
    explicit WebWorld(const ServicePolicy& policy = kOneAttempt)
        : Chain(policy, 100, {.grpc_web = true}) {
        ServicePolicy plain = kOneAttempt;
        plain.protocol = EndpointProtocol::http1;
        web.set_policy(plain, world.loop().now());
    }
};

std::string post(const std::string& type, const std::string& body, const std::string& more = {}) {
    return "POST /s/m HTTP/1.1\r\nHost: api\r\nContent-Type: " + type +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + more + "\r\n" + body;
}

Script answer(const std::string& body, const std::string& trailers) {
    return {
        .bytes =
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nX-A: b\r\n"
            "Transfer-Encoding: chunked\r\n\r\n8\r\n" +
            body + "\r\n0\r\n" + trailers + "\r\n",
        .delay = milliseconds(100)  // the whole call has come
    };
}

std::string frame(const std::string& lines) {
    return std::string("\x80\0\0\0", 4) + static_cast<char>(lines.size()) + lines;
}

// What came behind the head, without chunk lines.
std::string body_of(const RawAnswer& answer) {
    std::string body;
    std::string_view rest = answer.bytes;
    rest.remove_prefix(std::min(rest.size(), rest.find("\r\n\r\n") + 4));
    if (answer.bytes.find("transfer-encoding: chunked") == std::string::npos)
        return std::string(rest);
    while (!rest.empty()) {
        const auto size = std::stoul(std::string(rest.substr(0, rest.find("\r\n"))), nullptr, 16);
        rest.remove_prefix(rest.find("\r\n") + 2);
        if (size == 0) return rest == "\r\n" ? body : "trailers: " + std::string(rest);
        body += rest.substr(0, size);
        rest.remove_prefix(size + 2);
    }
    return "cut: " + body;
}

TEST(ProxyGrpcWeb, ACallIsOneOfGrpcToTheEndpointAndItsTrailersAreAFrameToTheCaller) {
    WebWorld w;
    w.a.script = [](int) {
        return answer(kMessage, "grpc-status: 5\r\ngrpc-message: not here\r\nX-Sum: 7\r\n");
    };
    const RawAnswer got =
        w.ask({post("application/grpc-web+proto", kMessage, "X-Grpc-Web: 1\r\n")});
    EXPECT_THAT(
        w.a.head,
        AllOf(
            HasSubstr("POST /s/m HTTP/1.1\r\n"),
            HasSubstr("content-type: application/grpc+proto\r\n"),
            HasSubstr("te: trailers\r\n")
        )
    );
    EXPECT_THAT(w.a.received, HasSubstr(kMessage));
    EXPECT_THAT(
        got.bytes,
        AllOf(
            StartsWith("HTTP/1.1 200 OK\r\n"),
            HasSubstr("content-type: application/grpc-web+proto\r\n"),
            HasSubstr("x-a: b\r\n")
        )
    );
    EXPECT_EQ(
        body_of(got), kMessage + frame("grpc-status: 5\r\ngrpc-message: not here\r\nx-sum: 7\r\n")
    );
    const std::vector<std::string> labels = {"api", "/s/m", "NOT_FOUND"};
    EXPECT_EQ(w.value(metrics::names::kGrpcRequests, labels), 1);
    w.expect_at_rest();
}

TEST(ProxyGrpcWeb, TextIsBase64BothWaysHoweverItComes) {
    WebWorld w;
    w.a.script = [](int) { return answer(kMessage, "grpc-status: 0\r\n"); };
    // Two messages, encoded one by one: padding in the middle.
    const std::string text = core::base64_encode(kMessage) + core::base64_encode(kMessage);
    const std::string request = post("application/grpc-web-text", text);
    const RawAnswer whole = w.ask({request});
    EXPECT_THAT(w.a.received, HasSubstr(kMessage));
    EXPECT_THAT(whole.bytes, HasSubstr("content-type: application/grpc-web-text+proto\r\n"));
    std::string decoded;
    wire::grpc::Base64Stream stream;
    EXPECT_TRUE(stream.decode(body_of(whole), decoded));
    EXPECT_EQ(decoded, kMessage + frame("grpc-status: 0\r\n"));
    for (const std::size_t cut : {1U, 2U, 3U, 5U, 14U}) {
        w.a.received.clear();
        const std::size_t at = request.size() - text.size() + cut;
        const RawAnswer split = w.ask({request.substr(0, at), request.substr(at)});
        EXPECT_EQ(body_of(split), body_of(whole)) << cut;
        EXPECT_THAT(w.a.received, AllOf(HasSubstr("\r\n\r\n"), HasSubstr("abc")));
    }
    w.expect_at_rest();
}

TEST(ProxyGrpcWeb, AcceptSaysWhetherTheAnswerIsText) {
    WebWorld w;
    w.a.script = [](int) { return answer(kMessage, "grpc-status: 0\r\n"); };
    const RawAnswer text =
        w.ask({post("application/grpc-web", kMessage, "Accept: application/grpc-web-text\r\n")});
    EXPECT_THAT(body_of(text), StartsWith(core::base64_encode(kMessage)));
    const std::string encoded = core::base64_encode(kMessage);
    const RawAnswer binary =
        w.ask({post("application/grpc-web-text", encoded, "Accept: application/grpc-web\r\n")});
    EXPECT_EQ(body_of(binary), kMessage + frame("grpc-status: 0\r\n"));
}

TEST(ProxyGrpcWeb, SoDoesACallerOfHttp2) {
    WebWorld w;
    w.a.script = [](int) { return answer(kMessage, "grpc-status: 0\r\n"); };
    Caller2 caller(w.world);
    H2Stream* const one =
        caller.ask(request("POST", "/s/m", {{"content-type", "application/grpc-web"}}), kMessage);
    pass(w);
    EXPECT_EQ(caller.answer(one).status, 200);
    EXPECT_EQ(caller.answer(one).fields.at("content-type"), "application/grpc-web+proto");
    EXPECT_EQ(caller.answer(one).body, kMessage + frame("grpc-status: 0\r\n"));
    EXPECT_TRUE(caller.answer(one).trailers.empty());
    EXPECT_TRUE(caller.answer(one).ended);
}

TEST(ProxyGrpcWeb, EachMessageGoesOnAsItComes) {
    WebWorld w;
    w.a.script = [](int) -> Script {
        const std::string tail = "8\r\n" + kMessage + "\r\n0\r\ngrpc-status: 0\r\n\r\n";
        const std::string whole = answer(kMessage, "").bytes;
        return {.bytes = whole.substr(0, whole.size() - 5), .pause = seconds(60), .more = tail};
    };
    // Silent for a minute: a stream of gRPC may be, other bodies may not.
    const RawAnswer first =
        w.ask({post("application/grpc-web", kMessage)}, milliseconds(10), seconds(5));
    EXPECT_THAT(first.bytes, HasSubstr(kMessage));
    const RawAnswer both =
        w.ask({post("application/grpc-web", kMessage)}, milliseconds(10), seconds(70));
    EXPECT_EQ(body_of(both), kMessage + kMessage + frame("grpc-status: 0\r\n"));
}

TEST(ProxyGrpcWeb, AnswersOfOursAreItsOwnToo) {
    WebWorld w;
    const RawAnswer nobody =
        w.ask({"POST /s/m HTTP/1.1\r\nHost: other\r\n"
               "Content-Type: application/grpc-web-text\r\n"
               "Content-Length: 0\r\n\r\n"});
    EXPECT_THAT(
        nobody.bytes,
        AllOf(
            StartsWith("HTTP/1.1 200 OK\r\n"),
            HasSubstr("content-type: application/grpc-web-text\r\n"),
            HasSubstr("content-length: 0\r\n"),
            HasSubstr("x-mesh-reason: no_route\r\n"),
            HasSubstr("grpc-status: 12\r\n"),
            HasSubstr("grpc-message: ")
        )
    );
    const RawAnswer garbled = w.ask({post("application/grpc-web-text", "AAA!")});
    EXPECT_THAT(
        garbled.bytes,
        AllOf(HasSubstr("x-mesh-reason: malformed_request\r\n"), HasSubstr("grpc-status: 13\r\n"))
    );
    const RawAnswer half = w.ask({post("application/grpc-web-text", "AAA")});
    EXPECT_THAT(half.bytes, HasSubstr("x-mesh-reason: malformed_request\r\n"));
    EXPECT_EQ(w.a.heads, 0);
}

// Not a whole one: neither the call nor the answer.
TEST(ProxyGrpcWeb, WhatIsCutStaysCut) {
    WebWorld w;
    w.a.script = [](int) -> Script {
        return {
            .bytes =
                "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n"
                "Transfer-Encoding: chunked\r\n\r\n8\r\n" +
                kMessage + "\r\n",
            .then = Then::close,
            .pause = milliseconds(50)
        };
    };
    const RawAnswer got = w.ask({post("application/grpc-web", kMessage)});
    EXPECT_EQ(body_of(got), "cut: " + kMessage);
    EXPECT_THAT(got.bytes, Not(EndsWith("0\r\n\r\n")));
    w.expect_at_rest();
}

TEST(ProxyGrpcWeb, AStatusInTheHeadStaysThereAndWhatIsNotGrpcPassesAsItIs) {
    WebWorld w;
    w.a.script = [](int n) -> Script {
        if (n == 0)
            return {
                .bytes =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n"
                    "grpc-status: 7\r\nContent-Length: 0\r\n\r\n"
            };
        return {
            .bytes =
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n"
                "Content-Length: 4\r\n\r\ngone"
        };
    };
    const RawAnswer head = w.ask({post("application/grpc-web", kMessage)});
    EXPECT_THAT(head.bytes, HasSubstr("grpc-status: 7\r\n"));
    EXPECT_EQ(body_of(head), "");
    const RawAnswer page = w.ask({post("application/grpc-web", kMessage)});
    EXPECT_THAT(
        page.bytes, AllOf(StartsWith("HTTP/1.1 404"), HasSubstr("content-type: text/html\r\n"))
    );
    EXPECT_EQ(body_of(page), "gone");
}

TEST(ProxyGrpcWeb, IsPassedOnAsItIsWhereNobodyAskedForIt) {
    RawWorld w;
    w.a.script = [](int) -> Script {
        return {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    };
    w.ask({post("application/grpc-web", kMessage)});
    EXPECT_THAT(w.a.head, HasSubstr("Content-Type: application/grpc-web\r\n"));
}

}  // namespace
}  // namespace datapunk::mesh::proxy
