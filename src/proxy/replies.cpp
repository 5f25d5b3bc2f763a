#include "proxy/replies.h"

#include "wire/http1/encode.h"

namespace datapunk::mesh::proxy {

std::string_view to_string(ReplyReason reason) noexcept {
    switch (reason) {
        case ReplyReason::malformed_request:
            return "malformed_request";
        case ReplyReason::body_too_large:
            return "body_too_large";
        case ReplyReason::request_timeout:
            return "request_timeout";
        case ReplyReason::method_not_proxied:
            return "method_not_proxied";
        case ReplyReason::not_allowed:
            return "not_allowed";
        case ReplyReason::no_route:
            return "no_route";
        case ReplyReason::unknown_service:
            return "unknown_service";
        case ReplyReason::no_endpoint:
            return "no_endpoint";
        case ReplyReason::breaker_open:
            return "breaker_open";
        case ReplyReason::dependency:
            return "dependency";
        case ReplyReason::limit:
            return "limit";
        case ReplyReason::pending_timeout:
            return "pending_timeout";
        case ReplyReason::shed:
            return "shed";
        case ReplyReason::rate_limit:
            return "rate_limit";
        case ReplyReason::caller_rate:
            return "caller_rate";
        case ReplyReason::caller_limit:
            return "caller_limit";
        case ReplyReason::throttled:
            return "throttled";
        case ReplyReason::connect_failure:
            return "connect_failure";
        case ReplyReason::upstream_reset:
            return "upstream_reset";
        case ReplyReason::upstream_protocol:
            return "upstream_protocol";
        case ReplyReason::deadline:
            return "deadline";
        case ReplyReason::draining:
            return "draining";
    }
    return "unknown";
}

int status_of(ReplyReason reason) noexcept {
    switch (reason) {
        case ReplyReason::malformed_request:
            return 400;
        case ReplyReason::body_too_large:
            return 413;
        case ReplyReason::request_timeout:
            return 408;
        case ReplyReason::method_not_proxied:
            return 501;
        case ReplyReason::not_allowed:
            return 403;
        case ReplyReason::no_route:
            return 404;
        case ReplyReason::rate_limit:
        case ReplyReason::caller_rate:
        case ReplyReason::caller_limit:
            return 429;
        case ReplyReason::upstream_reset:
        case ReplyReason::upstream_protocol:
            return 502;
        case ReplyReason::deadline:
            return 504;
        case ReplyReason::unknown_service:
        case ReplyReason::no_endpoint:
        case ReplyReason::breaker_open:
        case ReplyReason::dependency:
        case ReplyReason::limit:
        case ReplyReason::pending_timeout:
        case ReplyReason::shed:
        case ReplyReason::throttled:
        case ReplyReason::connect_failure:
        case ReplyReason::draining:
            return 503;
    }
    return 500;
}

ReplyReason reason_of(policy::NoEndpoint::Reason why) noexcept {
    using Reason = policy::NoEndpoint::Reason;
    switch (why) {
        case Reason::deadline:
            return ReplyReason::deadline;
        case Reason::limited:
            return ReplyReason::limit;
        case Reason::pending_timeout:
            return ReplyReason::pending_timeout;
        case Reason::shed:
            return ReplyReason::shed;
        case Reason::rate_limit:
            return ReplyReason::rate_limit;
        case Reason::caller_rate:
            return ReplyReason::caller_rate;
        case Reason::caller_limit:
            return ReplyReason::caller_limit;
        case Reason::throttled:
            return ReplyReason::throttled;
        case Reason::unknown_service:
            return ReplyReason::unknown_service;
        case Reason::breaker_open:
            return ReplyReason::breaker_open;
        case Reason::dependency:
            return ReplyReason::dependency;
        case Reason::none_available:
            break;
    }
    return ReplyReason::no_endpoint;
}

void append_reply(std::string& out, const OwnAnswer& answer) {
    using wire::http1::append_field;
    wire::http1::append_status_line(out, answer.status);
    append_field(out, "content-type", "text/plain; charset=utf-8");
    append_field(out, "content-length", answer.explanation.size() + 1);
    append_field(out, "date", answer.date);
    append_field(out, "x-mesh-reason", to_string(answer.reason));
    if (answer.retry_after_seconds > 0) {
        append_field(out, "retry-after", std::uint64_t{answer.retry_after_seconds});
    }
    if (!answer.keep_alive) append_field(out, "connection", "close");
    out += "\r\n";
    if (answer.head_only) return;
    out += answer.explanation;
    out += '\n';
}

}  // namespace datapunk::mesh::proxy
