// How the public structs of retry.h are written in the configuration.

#include "config/codecs.h"
#include "routing/route.h"

namespace datapunk::mesh::config {

namespace {

using namespace std::chrono_literals;

}  // namespace

template <>
const EnumNames<RetryOn>& names_of<RetryOn>() {
    static const EnumNames<RetryOn> names = {
        {RetryOn::server_error, "5xx"},
        {RetryOn::connect_failure, "connect-failure"},
        {RetryOn::refused_stream, "refused-stream"},
        {RetryOn::timeout, "timeout"},
        {RetryOn::reset, "reset"},
        {RetryOn::gateway_error, "gateway-error"},
        {RetryOn::retriable_4xx, "retriable-4xx"},
    };
    return names;
}

template <>
const EnumNames<BackoffKind>& names_of<BackoffKind>() {
    static const EnumNames<BackoffKind> names = {
        {BackoffKind::full_jitter, "full_jitter"},
        {BackoffKind::equal_jitter, "equal_jitter"},
        {BackoffKind::decorrelated_jitter, "decorrelated_jitter"},
        {BackoffKind::exponential, "exponential"},
        {BackoffKind::linear, "linear"},
        {BackoffKind::fibonacci, "fibonacci"},
        {BackoffKind::fixed, "fixed"},
    };
    return names;
}

template <>
const EnumNames<GrpcRetryOn>& names_of<GrpcRetryOn>() {
    static const EnumNames<GrpcRetryOn> names = {
        {GrpcRetryOn::cancelled, "cancelled"},
        {GrpcRetryOn::unknown, "unknown"},
        {GrpcRetryOn::deadline_exceeded, "deadline-exceeded"},
        {GrpcRetryOn::resource_exhausted, "resource-exhausted"},
        {GrpcRetryOn::aborted, "aborted"},
        {GrpcRetryOn::internal, "internal"},
        {GrpcRetryOn::unavailable, "unavailable"},
    };
    return names;
}

namespace {

template <class Flags>
struct FlagsCodec {  // a set of flags, written as a list of names
    static Shape shape() {
        return {
            .kind = Shape::Kind::list,
            .choices = {},
            .element = std::make_shared<const Shape>(
                Shape{.kind = Shape::Kind::choice, .choices = choices_of<Flags>()}
            )
        };
    }

    static void read(Flags& to, const ReadSpot& spot) {
        if (!expect(Tree::Kind::list, spot)) return;
        to = Flags::none;
        for (std::size_t i = 0; i < spot.tree.list.size(); ++i) {
            const std::string path = join_path(spot.path, i);
            std::size_t index = 0;
            if (read_choice(
                    index, choices_of<Flags>(), {spot.tree.list[i], path, spot.limits, spot.reader}
                ))
                to = to | names_of<Flags>()[index].first;
        }
    }

    static Tree write(Flags from) {
        Tree tree = Tree::of(Tree::Kind::list);
        for (const auto& [flag, name] : names_of<Flags>()) {
            if (has(from, flag)) tree.list.push_back(Tree::of_text(name));
        }
        return tree;
    }
};

}  // namespace

template <>
struct Codec<RetryOn> : FlagsCodec<RetryOn> {};

template <>
struct Codec<GrpcRetryOn> : FlagsCodec<GrpcRetryOn> {};

// clang-format off
template <>
const Table& table_of<RetryBudgetConfig>() {
    using B = RetryBudgetConfig;
    static const Table table =
        TableOf<B>("budget", "Tokens that bound retries, so that they cannot multiply an outage.")
            .field("ratio", &B::ratio, "Retries allowed per call. 0.2: load grows by a fifth at most.", between(0, 10))
            .field("min_per_second", &B::min_per_second, "Retries per second allowed even when idle, so that rare callers may retry at all.", between(0, 1000))
            .field("window", &B::window, "How long the deposit of a call lives.", between(1s, 60s))
            .field("shared", &B::shared, "Whether min_per_second is what all processes have together, handed out in slices through Redis (`redis`). While Redis is away each has its part of it, by the number there last were.")
            .table();
    return table;
}

template <>
const Table& table_of<BackoffConfig>() {
    using B = BackoffConfig;
    static const Table table =
        TableOf<B>("backoff", "Wait before a retry. The ceiling grows from base, doubling, to max.")
            .field("base", &B::base, "Ceiling before the first retry. 25 ms outlasts a hiccup and not a caller's patience.", between(0s, 1h))
            .field("max", &B::max, "Longest wait at all, at least base.", between(0s, 1h))
            .field("kind", &B::kind, "full_jitter: uniform between zero and the ceiling, which costs a struggling service least. equal_jitter: between half of the ceiling and all of it. decorrelated_jitter: between base and three times the wait before. exponential: the ceiling. linear, fibonacci, fixed: base times n, times the Fibonacci numbers, or base.")
            .table();
    return table;
}

template <>
const Table& table_of<RetryConfig>() {
    using R = RetryConfig;
    static const Table table =
        TableOf<R>("retry", "When to try again, at another endpoint if there is one.")
            .field("attempts", &R::attempts, "Attempts in all; 1 = no retries. Three survive one bad endpoint and one unlucky pick.", between(1, 10))
            .field("on", &R::on, "What is worth another attempt.")
            .field("on_grpc", &R::on_grpc, "Status codes of gRPC that are worth another attempt. Naming one says that such calls may be sent again.")
            .field("on_statuses", &R::on_statuses, "Statuses of answers that are worth another attempt, such as 429; at most 32.", between(100, 599))
            .field("on_headers", &R::on_headers, "Names of headers whose presence in an answer makes it worth another attempt; at most 32.")
            .field("non_idempotent", &R::non_idempotent, "Also retry calls that may have had an effect. Off: nobody wants to pay twice.")
            .field("attempt_timeout", &R::attempt_timeout, "Time limit of one attempt; 0s = the call's deadline.", between(0s, 1h))
            .field("backoff", &R::backoff, "Wait between attempts.")
            .field("retry_after_max", &R::retry_after_max, "Longest Retry-After that is waited for; an answer that asks for more is passed on.", between(0s, 1h))
            .field("budget", &R::budget, "Bound on all retries together.")
            .table();
    return table;
}

template <>
const Table& table_of<routing::RetryOverride>() {
    using R = routing::RetryOverride;
    static const Table table =
        TableOf<R>("retry", "Retries of this route, in place of those of the service's policy, field by field; the budget stays the service's.")
            .field("attempts", &R::attempts, "Attempts in all; 1 = no retries.", between(1, 10))
            .field("on", &R::on, "What is worth another attempt.")
            .field("on_grpc", &R::on_grpc, "Status codes of gRPC that are.")
            .field("on_statuses", &R::on_statuses, "Statuses that are.", between(100, 599))
            .field("on_headers", &R::on_headers, "Headers of answers that are.")
            .field("non_idempotent", &R::non_idempotent, "Also calls that may have had an effect already.")
            .field("attempt_timeout", &R::attempt_timeout, "Time limit of one attempt; 0s = that of the call.", between(0s, 1h))
            .field("backoff", &R::backoff, "Wait before a retry.")
            .field("retry_after_max", &R::retry_after_max, "Longest Retry-After that is waited for.", between(0s, 1h))
            .table();
    return table;
}

template <>
const Table& table_of<HedgeConfig>() {
    using H = HedgeConfig;
    static const Table table =
        TableOf<H>("hedge", "A second attempt at another endpoint while the first is still out; who answers first wins. Of calls that may be repeated.")
            .field("max", &H::max, "Hedges per call at most: how much the load may grow by them; 0 = no hedging. 0.05 goes with the percentile 95. Retries and hedges share the retry budget.", between(0, 0.5))
            .field("percentile", &H::percentile, "The hedge is sent when so many of 100 answers have come, as measured over the last minutes.", between(50, 99.9))
            .field("delay", &H::delay, "The hedge is sent after so long instead; 0s = by the percentile, which follows when a service becomes slower.", between(0s, 1h))
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
