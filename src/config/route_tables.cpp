// How routing::Route and what it is made of are written in the configuration.

#include "config/codecs.h"
#include "config/failure_codec.h"
#include "routing/route.h"

namespace datapunk::mesh::config {

using namespace std::chrono_literals;
using wire::grpc::GrpcStatus;

template <>
const EnumNames<GrpcStatus>& names_of<GrpcStatus>() {
    static const EnumNames<GrpcStatus> names = {
        {GrpcStatus::ok, "ok"},
        {GrpcStatus::cancelled, "cancelled"},
        {GrpcStatus::unknown, "unknown"},
        {GrpcStatus::invalid_argument, "invalid-argument"},
        {GrpcStatus::deadline_exceeded, "deadline-exceeded"},
        {GrpcStatus::not_found, "not-found"},
        {GrpcStatus::already_exists, "already-exists"},
        {GrpcStatus::permission_denied, "permission-denied"},
        {GrpcStatus::resource_exhausted, "resource-exhausted"},
        {GrpcStatus::failed_precondition, "failed-precondition"},
        {GrpcStatus::aborted, "aborted"},
        {GrpcStatus::out_of_range, "out-of-range"},
        {GrpcStatus::unimplemented, "unimplemented"},
        {GrpcStatus::internal, "internal"},
        {GrpcStatus::unavailable, "unavailable"},
        {GrpcStatus::data_loss, "data-loss"},
        {GrpcStatus::unauthenticated, "unauthenticated"},
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<routing::ValueMatch>() {
    using M = routing::ValueMatch;
    static const Table table =
        TableOf<M>("match", "A condition. One of exact, prefix and regex, or none of them: that it is there at all. Of several with the name one is enough.")
            .field("name", &M::name, "Name; of a header in any case.", ValueRange{}.required())
            .field("exact", &M::exact, "The value is this.")
            .field("prefix", &M::prefix, "The value begins with this.")
            .field("regex", &M::regex, "The whole value matches this; RE2's syntax.")
            .field("present", &M::present, "false: there must be none of this name.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::WeightedService>() {
    using W = routing::WeightedService;
    static const Table table =
        TableOf<W>("split", "A service and its share.")
            .field("service", &W::service, "Service that gets the share.", ValueRange{}.required())
            .field("weight", &W::weight, "Share of the sum of all weights; 0 = nothing.", between(0, 1'000'000))
            .field("subset", &W::subset, "Only its endpoints with all of this in their metadata.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::Redirect>() {
    using R = routing::Redirect;
    static const Table table =
        TableOf<R>("redirect", "Where the caller is sent. What is not said stays as it was asked for.")
            .field("status", &R::status, "301, 302, 303, 307 or 308.", between(301, 308))
            .field("scheme", &R::scheme, "http or https.")
            .field("host", &R::host, "Host name, without a port.")
            .field("port", &R::port, "Port; 0 = that of the request, or with a scheme or host of its own the usual one.", between(0, 65535))
            .field("path", &R::path, "The whole path.")
            .field("prefix", &R::prefix, "In place of the path_prefix or path that matched.")
            .field("strip_query", &R::strip_query, "Whether the query is left out.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::DirectResponse>() {
    using D = routing::DirectResponse;
    static const Table table =
        TableOf<D>("respond", "An answer without asking anybody.")
            .field("status", &D::status, "Its status.", between(200, 599))
            .field("body", &D::body, "Its body, at most 4096 bytes.")
            .field("content_type", &D::content_type, "Its content type.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::Rewrite>() {
    using R = routing::Rewrite;
    static const Table table =
        TableOf<R>("rewrite", "What the endpoint is asked for instead; the query stays.")
            .field("host", &R::host, "Host name.")
            .field("path", &R::path, "The whole path.")
            .field("prefix", &R::prefix, "In place of the path_prefix or path that matched.")
            .field("regex", &R::regex, "Every part of the path that matches this (RE2) becomes the substitution.")
            .field("substitution", &R::substitution, "Text in place of what matched, at most 256 bytes; \\1 is the first group, \\0 all of it.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::HeaderEdits>() {
    using H = routing::HeaderEdits;
    static const Table table =
        TableOf<H>("edits", "First what is in remove goes, then set replaces, then add is put behind. What frames a message, ends at this hop or is said by it cannot be changed.")
            .field("remove", &H::remove, "Names.")
            .field("set", &H::set, "Names and values; all of the name before go.")
            .field("add", &H::add, "Names and values.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::FaultDelay>() {
    using F = routing::FaultDelay;
    static const Table table =
        TableOf<F>("delay", "Requests wait before they go on. The wait counts for their deadline.")
            .field("duration", &F::duration, "How long.", above(0s, 1h).required())
            .field("percentage", &F::percentage, "Of how many of a hundred requests.", above(0, 100))
            .table();
    return table;
}

template <>
const Table& table_of<routing::FaultAbort>() {
    using F = routing::FaultAbort;
    static const Table table =
        TableOf<F>("abort", "Requests are answered with an error.")
            .field("status", &F::status, "Its status.", between(400, 599))
            .field("grpc_status", &F::grpc_status, "What callers of gRPC get; none: what stands for the status.")
            .field("percentage", &F::percentage, "Of how many of a hundred requests.", above(0, 100))
            .table();
    return table;
}

template <>
const Table& table_of<routing::Fault>() {
    using F = routing::Fault;
    static const Table table =
        TableOf<F>("fault", "What goes wrong on purpose, to see who copes: first the delay, then the answer, each by luck of its own.")
            .field("delay", &F::delay, "Requests wait.")
            .field("abort", &F::abort, "Requests fail.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::CorsPolicy>() {
    using C = routing::CorsPolicy;
    static const Table table =
        TableOf<C>("cors", "Which pages of other origins a browser lets read the answers. Preflights are answered here, and what the endpoint says about it is replaced.")
            .field("allow_origins", &C::allow_origins, "Origins, such as https://a.example; * = any.")
            .field("allow_origin_regex", &C::allow_origin_regex, "Origins that match as a whole; RE2's syntax.")
            .field("allow_methods", &C::allow_methods, "Methods beyond GET, HEAD and POST; * = any.")
            .field("allow_headers", &C::allow_headers, "Headers that requests may have beyond the safe ones; * = any.")
            .field("expose_headers", &C::expose_headers, "Headers of answers that pages may read beyond the safe ones.")
            .field("allow_credentials", &C::allow_credentials, "Whether pages may send cookies and certificates; not with any origin.")
            .field("max_age", &C::max_age, "How long a browser keeps the answer to a preflight; none = as it likes, 5 s by the standard.", between(0s, 24h))
            .table();
    return table;
}

template <>
const Table& table_of<routing::Mirror>() {
    using M = routing::Mirror;
    static const Table table =
        TableOf<M>("mirror", "A service that gets a copy of requests, whose answers are thrown away. Requests whose body is streamed or over 64 KiB are not copied.")
            .field("service", &M::service, "Service that gets the copies.", ValueRange{}.required())
            .field("subset", &M::subset, "Only its endpoints with all of this in their metadata.")
            .field("percentage", &M::percentage, "Of how many of a hundred requests.", above(0, 100))
            .table();
    return table;
}

template <>
const Table& table_of<routing::Fallback>() {
    using F = routing::Fallback;
    static const Table table =
        TableOf<F>("fallback", "Who answers when the service cannot: one of service and respond.")
            .field("service", &F::service, "Another service, within what is left of the deadline. It cannot be asked when part of a streamed body is gone.")
            .field("subset", &F::subset, "Only its endpoints with all of this in their metadata.")
            .field("respond", &F::respond, "A fixed answer.")
            .field("on_statuses", &F::on_statuses, "Answers of the service that count as none: classes (5xx), statuses (429), ranges (500-504). That no endpoint answered always does.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::Route>() {
    using R = routing::Route;
    static const Table table =
        TableOf<R>("routes", "Which request goes to which service. The most specific route wins.")
            .field("name", &R::name, "Unique name, for logs and errors; empty = its place, routes[0].")
            .field("listener", &R::listener, "Name of the listener it applies to; empty = all.")
            .field("hosts", &R::hosts, "Hosts, such as api.example.org or *.example.org; empty = any.")
            .field("path_prefix", &R::path_prefix, "Path begins with this, in whole segments.")
            .field("path", &R::path_exact, "Path is exactly this; not together with path_prefix.")
            .field("path_regex", &R::path_regex, "The whole path, without the query, matches this; RE2's syntax; not together with path or path_prefix. Each is tried on each request of its hosts.")
            .field("methods", &R::methods, "Methods; empty = any.")
            .field("headers", &R::headers, "What headers must be like, all of it.")
            .field("query", &R::query, "What query parameters must be like, all of it; values are compared decoded.")
            .field("service", &R::service, "Service that gets the request. One of service, split, redirect and respond.")
            .field("subset", &R::subset, "Only its endpoints with all of this in their metadata.")
            .field("split", &R::split, "Several services, or subsets, by weight.")
            .field("sticky", &R::sticky, "What makes the same caller get the same service of split; a caller without it gets one by luck.")
            .field("redirect", &R::redirect, "The caller is sent elsewhere.")
            .field("respond", &R::respond, "A fixed answer.")
            .field("rewrite", &R::rewrite, "What the endpoint is asked for.")
            .field("request_headers", &R::request_headers, "Changes to the headers of requests.")
            .field("response_headers", &R::response_headers, "Changes to the headers of answers, also of those that are made here.")
            .field("timeout", &R::timeout, "Time limit of the whole call; none = the service's deadline.", above(0s, 24h))
            .field("retry", &R::retry, "Retries.")
            .field("body_bytes_max", &R::body_bytes_max, "Bytes of a request's body, in place of the listener's; 0 = no limit.", between(0, 1e15))
            .field("fault", &R::fault, "What goes wrong on purpose.")
            .field("rate_limit", &R::rate_limit, "How many requests of the route may begin in a time, in this process; more are answered 429. With leaky_bucket they wait their turn first.")
            .field("mirror", &R::mirror, "Who gets a copy.")
            .field("fallback", &R::fallback, "Who answers when the service cannot.")
            .field("cors", &R::cors, "Which pages of other origins may read the answers.")
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
