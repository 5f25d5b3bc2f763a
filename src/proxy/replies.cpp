#include "proxy/replies.h"

#include <algorithm>

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
        case ReplyReason::route_rate:
            return "route_rate";
        case ReplyReason::redirect:
            return "redirect";
        case ReplyReason::direct_response:
            return "direct_response";
        case ReplyReason::fault:
            return "fault";
        case ReplyReason::fallback:
            return "fallback";
        case ReplyReason::cors_preflight:
            return "cors_preflight";
        case ReplyReason::cors_refused:
            return "cors_refused";
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
        case ReplyReason::cors_refused:
            return 403;
        case ReplyReason::redirect:
            return 302;
        case ReplyReason::direct_response:
        case ReplyReason::fallback:
            return 200;
        case ReplyReason::cors_preflight:
            return 204;
        case ReplyReason::no_route:
            return 404;
        case ReplyReason::rate_limit:
        case ReplyReason::route_rate:
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
        case ReplyReason::fault:
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

bool OwnAnswer::says_type() const noexcept {
    return std::none_of(fields.begin(), fields.end(), [](const wire::http1::Field& field) {
        return field.id == wire::http1::Header::content_type;
    });
}

void append_reply(std::string& out, const OwnAnswer& answer) {
    using wire::http1::append_field;
    wire::http1::append_status_line(out, answer.status);
    if (answer.has_body()) {
        if (answer.says_type()) append_field(out, "content-type", answer.content_type);
        append_field(out, "content-length", answer.explanation.size() + (answer.is_line ? 1 : 0));
    }
    append_field(out, "date", answer.date);
    append_field(out, "x-mesh-reason", to_string(answer.reason));
    if (answer.retry_after_seconds > 0) {
        append_field(out, "retry-after", std::uint64_t{answer.retry_after_seconds});
    }
    for (const wire::http1::Field& field : answer.fields)
        append_field(out, field.name, field.value);
    if (!answer.keep_alive) append_field(out, "connection", "close");
    out += "\r\n";
    if (answer.head_only || !answer.has_body()) return;
    out += answer.explanation;
    if (answer.is_line) out += '\n';
}

}  // namespace datapunk::mesh::proxy
