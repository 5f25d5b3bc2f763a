// HTTP: what a page answers.

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/strings.h"
#include "http/message_reader.h"
#include "probe/connection.h"
#include "probe/redirect.h"
#include "wire/http1/chars.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::probe {

namespace {

using wire::http1::Method;
using wire::http1::ResponseHead;

constexpr std::size_t kHeadBytesMax = 16UL * 1024;    // no health page has a larger one
constexpr std::size_t kSearchBytesMax = 64UL * 1024;  // of a body, for the expected text

// What is asked, and where: a redirect changes it.
struct Question {
    wire::Url at;
    std::string method;
    std::string body;
    std::vector<http::HeaderLine> headers;
    std::string bearer_token;
    std::string server_name;  // what the certificate must be for; empty = the host
    bool is_first = true;
};

struct HttpAnswer {
    int status = 0;
    std::string reason;
    std::string location;
    std::string body;          // its beginning
    std::string body_problem;  // why there was no more of it
};

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
    return std::any_of(names.begin(), names.end(), [name](std::string_view other) {
        return core::equals_ignoring_case(name, other);
    });
}

std::string host_field(const Question& question) {
    const std::string_view wanted = http::find_header(question.headers, "Host");
    if (!wanted.empty() && question.is_first) return std::string(wanted);
    wire::HostPort at{.host = question.at.host, .port = question.at.port};
    if (question.at.port == (question.at.scheme == "https" ? 443 : 80)) at.port.reset();
    return at.text();
}

// The request up to its body. What is in a definition comes from whoever registered it: nothing of
// it may break the framing.
Result<std::string> request_head(const Question& question) {
    const Error unfit{
        .code = Code::invalid, .what = "method, path or headers are not fit for HTTP"
    };
    const std::string target =
        question.at.query.empty() ? question.at.path : question.at.path + "?" + question.at.query;
    if (!wire::http1::is_field_name(question.method) || target.empty() ||
        !wire::http1::all_in(target, wire::http1::kTarget)) {
        return unfit;
    }
    std::string head;
    wire::http1::append_request_line(head, question.method, target);
    bool is_fit = wire::http1::try_append_field(head, "Host", host_field(question));
    for (const http::HeaderLine& line : question.headers) {
        if (is_one_of(line.name, {"Host", "Connection", "Content-Length", "Transfer-Encoding"})) {
            continue;
        }
        is_fit = is_fit && wire::http1::try_append_field(head, line.name, line.value);
    }
    if (!question.bearer_token.empty()) {
        const std::string value = "Bearer " + question.bearer_token;
        is_fit = is_fit && wire::http1::try_append_field(head, "Authorization", value);
    }
    if (!is_fit) return unfit;
    if (http::find_header(question.headers, "User-Agent").empty()) {
        wire::http1::append_field(head, "User-Agent", "Consul Health Check");
    }
    if (http::find_header(question.headers, "Accept").empty()) {
        wire::http1::append_field(head, "Accept", "text/plain, text/*, */*");
    }
    wire::http1::append_field(head, "Connection", "close");
    const Method method = wire::http1::method_of(question.method);
    if (!question.body.empty() || method == Method::post || method == Method::put) {
        wire::http1::append_field(head, "Content-Length", question.body.size());
    }
    head += wire::http1::kHeadEnd;
    return head;
}

io::Task<Result<HttpAnswer>> read_answer(
    io::Stream& stream, Method method, std::string expected, Instant deadline
) {
    http::MessageReader reader(stream, {.head_bytes_max = kHeadBytesMax});
    ResponseHead head;
    do {
        const http::HeadRead read = co_await reader.read_response(head, method, deadline);
        if (read == http::HeadRead::failed) co_return reader.error();
        if (read == http::HeadRead::closed) {
            co_return Error{.code = Code::unavailable, .what = "closed without an answer"};
        }
        if (read == http::HeadRead::rejected) {
            co_return Error{
                .code = Code::invalid,
                .what = fmt::format("the answer is not HTTP/1.1 ({})", to_string(reader.why()))
            };
        }
    } while (head.is_interim());
    HttpAnswer answer;
    answer.status = head.status;
    answer.reason = head.reason;
    if (answer.reason.empty()) answer.reason = wire::http1::reason_phrase(answer.status);
    for (const auto& field : head.fields) {
        if (core::equals_ignoring_case(field.name, "Location")) answer.location = field.value;
    }
    const std::size_t wanted = expected.empty() ? kOutputBytesMax : kSearchBytesMax;
    while (!reader.body_done() && answer.body.size() < wanted) {
        auto piece = co_await reader.next_piece(deadline);
        if (!piece) {  // the status has been said; only a search needs the rest
            answer.body_problem = std::move(piece).error().what;
            break;
        }
        answer.body += piece->bytes;
        const bool found = !expected.empty() && answer.body.find(expected) != std::string::npos;
        if (found && answer.body.size() >= kOutputBytesMax) break;
    }
    co_return std::move(answer);
}

io::Task<Result<HttpAnswer>> ask(
    ProbeTools tools, const ProbeDefinition& definition, const Question& question, Instant deadline
) {
    auto head = request_head(question);
    if (!head) co_return std::move(head).error();
    CheckTls tls = definition.tls;
    tls.enabled = question.at.scheme == "https";
    tls.server_name = question.server_name;
    const std::string no_alpn;
    auto opened =
        co_await open_stream(tools, question.at.host, question.at.port, tls, no_alpn, deadline);
    if (!opened) co_return std::move(opened).error();
    const io::StreamPtr stream = *std::move(opened);
    io::Slices slices(*head);
    slices.add(question.body);
    auto written = co_await stream->write(slices, deadline);
    if (!written) co_return std::move(written).error();
    const Method method = wire::http1::method_of(question.method);
    auto answer = co_await read_answer(*stream, method, definition.expected_body, deadline);
    co_return std::move(answer);
}

Question first_question(const ProbeDefinition& definition) {
    const std::size_t mark = definition.target.find('?');
    Question question;
    question.at.scheme = definition.tls.enabled ? "https" : "http";
    question.at.host = definition.host;
    question.at.port = definition.port;
    question.at.path = definition.target.substr(0, mark);
    if (mark != std::string::npos) question.at.query = definition.target.substr(mark + 1);
    question.method = definition.method;
    question.body = definition.body;
    question.headers = definition.headers;
    question.bearer_token = definition.bearer_token;
    question.server_name = definition.tls.server_name;
    return question;
}

// As Go's client: 301, 302 and 303 become GET, 307 and 308 ask again; another host does not get to
// see what proves who we are.
void follow(Question& question, int status, wire::Url to) {
    const bool keeps_method = status == 307 || status == 308;
    if (!keeps_method && question.method != "HEAD") {
        question.method = "GET";
        question.body.clear();
    }
    const bool is_other_place = to.scheme != question.at.scheme || to.host != question.at.host ||
                                to.port != question.at.port;
    if (is_other_place) {
        question.bearer_token.clear();
        std::erase_if(question.headers, [](const http::HeaderLine& line) {
            return is_one_of(
                line.name, {"Authorization", "Cookie", "Cookie2", "WWW-Authenticate", "Host"}
            );
        });
        question.server_name.clear();
        question.is_first = false;
    }
    question.at = std::move(to);
}

bool passes(const ProbeDefinition& definition, int status) {
    return std::any_of(
        definition.expected_status.begin(),
        definition.expected_status.end(),
        [status](const auto& range) { return status >= range.first && status <= range.second; }
    );
}

Health status_of(const ProbeDefinition& definition, int status) {
    if (!definition.expected_status.empty()) {
        return passes(definition, status) ? Health::passing : Health::critical;
    }
    if (status >= 200 && status <= 299) return Health::passing;
    return status == 429 ? Health::warning : Health::critical;
}

// The answer after all redirects.
io::Task<Result<HttpAnswer>> ask_and_follow(
    ProbeTools tools, const ProbeDefinition& definition, Instant deadline
) {
    Question question = first_question(definition);
    for (std::uint32_t redirects = 0;; ++redirects) {
        auto answer = co_await ask(tools, definition, question, deadline);
        const bool is_over = !answer || definition.redirects_max == 0 ||
                             !is_redirect(answer->status) || answer->location.empty() ||
                             passes(definition, answer->status);
        if (is_over) co_return std::move(answer);
        if (redirects >= definition.redirects_max) {
            co_return Error{
                .code = Code::invalid,
                .what = fmt::format("stopped after {} redirects", definition.redirects_max)
            };
        }
        auto to = redirect_target(question.at, answer->location);
        if (!to) co_return std::move(to).error();
        follow(question, answer->status, *std::move(to));
    }
}

}  // namespace

io::Task<ProbeResult> probe_http(ProbeTools tools, ProbeDefinition definition, Instant deadline) {
    auto answer = co_await ask_and_follow(tools, definition, deadline);
    if (!answer) {
        co_return verdict(
            Health::critical,
            fmt::format("{} \"{}\": {}", definition.method, definition.display, answer.error().what)
        );
    }
    Health status = status_of(definition, answer->status);
    std::string missing;
    if (answer->body.find(definition.expected_body) == std::string::npos) {
        status = Health::critical;
        missing = "the expected text is not in the body";
        if (!answer->body_problem.empty()) missing += " (" + answer->body_problem + ")";
        missing += "; ";
    }
    co_return verdict(
        status,
        fmt::format(
            "HTTP {} {}: {}{} {} Output: {}",
            definition.method,
            definition.display,
            missing,
            answer->status,
            answer->reason,
            answer->body
        )
    );
}

}  // namespace datapunk::mesh::probe
