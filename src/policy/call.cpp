#include "policy/call.h"

#include <string>

#include "core/strings.h"

namespace datapunk::mesh::policy {
namespace {

void append_count(std::string& out, std::uint32_t count, std::string_view what) {
    if (count == 0) return;
    out += ", ";
    out += std::to_string(count);
    out += ' ';
    out += what;
}

void append_wait(std::string& out, const NoEndpoint& why, Instant now) {
    if (why.next_at == kNever || why.next_at <= now) return;
    // Whole milliseconds: nobody acts on nanoseconds.
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(why.next_at - now);
    out += ", next try in " + core::format_duration(wait);
}

}  // namespace

std::string_view to_string(NoEndpoint::Reason reason) noexcept {
    using Reason = NoEndpoint::Reason;
    switch (reason) {
        case Reason::unknown_service:
            return "unknown_service";
        case Reason::none_available:
            return "no_endpoint";
        case Reason::breaker_open:
            return "breaker_open";
        case Reason::dependency:
            return "dependency";
        case Reason::deadline:
            return "deadline";
        case Reason::limited:
            return "limit";
        case Reason::pending_timeout:
            return "pending_timeout";
        case Reason::shed:
            return "shed";
        case Reason::rate_limit:
            return "rate_limit";
        case Reason::caller_rate:
            return "caller_rate";
        case Reason::caller_limit:
            return "caller_limit";
        case Reason::throttled:
            return "throttled";
    }
    return "unknown";
}

Error to_error(const NoEndpoint& why, std::string_view service, Instant now) {
    Error error{.code = Code::unavailable, .source = Source::upstream, .retryable = true};
    error.what = std::string(service) + ": ";
    switch (why.reason) {
        case NoEndpoint::Reason::deadline:
            error.code = Code::timeout;
            error.source = Source::downstream;
            error.retryable = false;
            error.what += "the deadline passed before an attempt could begin";
            return error;
        case NoEndpoint::Reason::limited:
            error.code = Code::exhausted;
            error.source = Source::internal;
            error.what += std::to_string(why.in_flight) + " requests in flight, the limit is " +
                          std::to_string(why.limit);
            return error;
        case NoEndpoint::Reason::pending_timeout:
            error.code = Code::exhausted;
            error.source = Source::internal;
            error.what += "waited too long for one of " + std::to_string(why.limit) + " places";
            return error;
        case NoEndpoint::Reason::shed:
            error.code = Code::exhausted;
            error.source = Source::internal;
            error.what += std::to_string(why.in_flight) + " requests in flight of " +
                          std::to_string(why.limit) + ", the rest is for calls of a higher class";
            return error;
        case NoEndpoint::Reason::rate_limit:
        case NoEndpoint::Reason::caller_rate:
            error.code = Code::exhausted;
            error.source = Source::downstream;
            error.what += why.reason == NoEndpoint::Reason::rate_limit
                              ? "more calls than its rate allows"
                              : "more calls of this caller than its rate allows";
            append_wait(error.what, why, now);
            if (why.next_at != kNever && why.next_at > now) error.retry_after = why.next_at - now;
            return error;
        case NoEndpoint::Reason::caller_limit:
            error.code = Code::exhausted;
            error.source = Source::downstream;
            error.what += "this caller has " + std::to_string(why.in_flight) +
                          " calls in flight, which is its limit";
            return error;
        case NoEndpoint::Reason::throttled:
            error.code = Code::exhausted;
            error.what += "overloaded: it refuses so many calls that this one was not sent";
            return error;
        case NoEndpoint::Reason::unknown_service:
            error.code = Code::not_found;
            error.source = Source::registry;
            error.what += "no endpoint is known";
            if (why.outside > 0) {
                error.what += " in the subset, " + std::to_string(why.outside) + " outside of it";
            }
            return error;
        case NoEndpoint::Reason::breaker_open:
            error.what += why.next_at == kNever ? "its circuit breaker is held open by an operator"
                                                : "its circuit breaker is open";
            append_wait(error.what, why, now);
            return error;
        case NoEndpoint::Reason::dependency:
            error.what += "a service that it depends on fails";
            return error;
        case NoEndpoint::Reason::none_available:
            break;
    }
    error.what += std::to_string(why.known) + " known";
    append_count(error.what, why.critical, "critical");
    append_count(error.what, why.ejected, "ejected");
    append_count(error.what, why.open, "open");
    append_wait(error.what, why, now);
    return error;
}

}  // namespace datapunk::mesh::policy
