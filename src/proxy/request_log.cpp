#include "proxy/request_log.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "proxy/replies.h"

namespace datapunk::mesh::proxy {

namespace {

double ms(std::uint32_t us) {
    return us / 1000.0;
}

std::string attempt_text(const AttemptRecord& tried, const policy::ServicePolicies* service) {
    std::string text = service == nullptr ? std::string("?") : service->describe(tried.pick);
    text += fmt::format("; at +{:.3f} ms, took {:.3f} ms: ", ms(tried.began_us), ms(tried.took_us));
    text += resilience::to_string(static_cast<resilience::Outcome>(tried.outcome));
    if (tried.status != 0) text += fmt::format(" (answered {})", tried.status);
    const auto decision = static_cast<resilience::RetryReason>(tried.decision);
    if (decision == resilience::RetryReason::retry) {
        text += fmt::format("; another one after {:.3f} ms", ms(tried.wait_us));
    } else if (decision != resilience::RetryReason::succeeded) {
        text += fmt::format("; no other: {}", resilience::to_string(decision));
    }
    return text;
}

}  // namespace

std::uint64_t id_hash(std::string_view id) noexcept {
    return std::max<std::uint64_t>(1, core::hash64(id));
}

RequestRing& RequestLog::add_worker() {
    const std::lock_guard guard(mutex_);
    return *rings_.emplace_back(std::make_unique<RequestRing>());
}

std::vector<RequestRecord> RequestLog::find(std::string_view id) const {
    const std::uint64_t wanted = id_hash(id);
    std::vector<RequestRecord> found;
    const std::lock_guard guard(mutex_);
    for (const auto& ring : rings_) {
        ring->for_each([&](const RequestRecord& record) {
            if (record.request_id == wanted || record.trace_id == wanted) found.push_back(record);
        });
    }
    std::sort(found.begin(), found.end(), [](const RequestRecord& a, const RequestRecord& b) {
        return a.arrived_ns < b.arrived_ns;
    });
    return found;
}

std::vector<std::string> in_words(
    const RequestRecord& record, const policy::ServicePolicies* service
) {
    const std::string_view route(
        record.route.data(), std::find(record.route.begin(), record.route.end(), '\0')
    );
    std::vector<std::string> lines;
    lines.push_back(
        route.empty() ? std::string("no route")
                      : fmt::format(
                            "route {} to service {}",
                            route,
                            service == nullptr ? "that is not configured" : service->name()
                        )
    );
    const std::size_t kept = std::min<std::size_t>(record.attempts, record.tried.size());
    for (std::size_t i = 0; i < kept; ++i) {
        lines.push_back(attempt_text(record.tried[i], service));
    }
    if (kept < record.attempts) {
        lines.push_back(fmt::format("{} more attempts, not kept", record.attempts - kept));
    }
    std::string end = record.status == 0 ? std::string("cut off, or the caller left")
                                         : fmt::format("answered {}", record.status);
    if (record.own_reason != 0) {
        end += fmt::format(
            " by the proxy: {}", to_string(static_cast<ReplyReason>(record.own_reason - 1))
        );
    }
    lines.push_back(fmt::format("{} after {:.3f} ms", end, ms(record.took_us)));
    return lines;
}

}  // namespace datapunk::mesh::proxy
