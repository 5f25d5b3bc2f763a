#include "catalog/timers.h"

#include <algorithm>

namespace datapunk::mesh::catalog {

namespace {

constexpr std::string_view kExpired = "TTL expired";

}  // namespace

void CheckTimers::restart(const Catalog& catalog, Instant now) {
    timers_.clear();
    queue_.clear();
    if (catalog.local() == nullptr) return;
    std::vector<std::string> all_checks;
    for (const auto& [id, owner] : catalog.local()->check_owner) all_checks.push_back(id);
    sync(catalog, all_checks, now);
}

void CheckTimers::sync(
    const Catalog& catalog, const std::vector<std::string>& local_checks, Instant now
) {
    for (const std::string& id : local_checks) {
        const CheckRow* check = catalog.agent_check(id).check;
        if (check == nullptr) {
            if (const auto gone = timers_.find(id); gone != timers_.end()) {
                queue_.erase({gone->second.wake(), id});
                timers_.erase(gone);
            }
            continue;
        }
        const CheckDefinition& definition = check->definition;
        update(timers_.try_emplace(id).first, [&](Timer& timer) {
            const Duration ttl =
                definition.kind == CheckKind::ttl ? definition.ttl : Duration::zero();
            if (timer.ttl != ttl) {
                timer.ttl = ttl;
                timer.ttl_at = ttl > Duration::zero() ? now + ttl : kNever;
                timer.postponed = false;
            }
            if (timer.status != check->status || timer.output == check->output) {
                timer.output.reset();
                timer.push_at = kNever;
            }
            timer.status = check->status;
            if (check->status != Health::critical) {
                timer.critical_since.reset();
            } else {
                if (check->output == kExpired && timer.ttl_at <= now + kRetry)
                    timer.ttl_at = kNever;
                if (!timer.critical_since) timer.critical_since = now;
            }
            const bool reaps = timer.critical_since && !check->service_id.empty() &&
                               definition.deregister_after > Duration::zero();
            timer.reap_at = reaps ? *timer.critical_since + definition.deregister_after : kNever;
        });
    }
}

bool CheckTimers::report(const Catalog& catalog, const UpdateCheck& result, Instant now) {
    const CheckRow* check = catalog.agent_check(result.check_id).check;
    const auto at = timers_.find(result.check_id);
    if (check == nullptr || at == timers_.end()) return true;
    const bool flips = check->status != result.status;
    update(at, [&](Timer& timer) {
        if (timer.ttl > Duration::zero()) timer.ttl_at = now + timer.ttl;
        timer.postponed = false;
        if (flips) return;
        if (result.output == check->output) {
            timer.output.reset();
            timer.push_at = kNever;
        } else {
            timer.output = result.output;
            if (timer.push_at == kNever) timer.push_at = now + kOutputPush;
        }
    });
    return flips;
}

CheckTimers::Due CheckTimers::due(const Catalog& catalog, Instant now) {
    Due due;
    // Firing never leaves a timer at or before now, so this ends.
    while (!queue_.empty() && queue_.begin()->first <= now) {
        fire(catalog, timers_.find(queue_.begin()->second), now, due);
    }
    if (!queue_.empty()) due.next = queue_.begin()->first;
    return due;
}

void CheckTimers::fire(const Catalog& catalog, Timers::iterator at, Instant now, Due& due) {
    const CheckRow* check = catalog.agent_check(at->first).check;
    if (check == nullptr) {
        queue_.erase({at->second.wake(), at->first});
        timers_.erase(at);
        return;
    }
    update(at, [&](Timer& timer) {
        if (timer.reap_at <= now) {
            due.commands.push_back(DeregisterService{check->service_id});
            timer.reap_at = now + kRetry;
        }
        if (timer.ttl_at <= now) expire(timer, *check, now, due);
        if (timer.push_at <= now) {
            due.commands.push_back(UpdateCheck{
                .check_id = check->id,
                .status = check->status,
                .output = timer.output.value_or(check->output),
                .sync_output = true,
            });
            timer.push_at = now + kRetry;
        }
    });
}

void CheckTimers::expire(Timer& timer, const CheckRow& check, Instant now, Due& due) {
    if (!timer.postponed && now - timer.ttl_at > kStall) {
        timer.postponed = true;
        timer.ttl_at = now + std::min(timer.ttl, kStallGrace);
        return;
    }
    if (check.status == Health::critical) {
        timer.ttl_at = kNever;
        timer.output = std::string(kExpired);
        if (timer.push_at == kNever) timer.push_at = now + kOutputPush;
        return;
    }
    due.commands.push_back(UpdateCheck{
        .check_id = check.id, .status = Health::critical, .output = std::string(kExpired)
    });
    timer.ttl_at = now + kRetry;
}

std::string_view CheckTimers::output(const Catalog& catalog, std::string_view check_id) const {
    const auto found = timers_.find(check_id);
    if (found != timers_.end() && found->second.output) return *found->second.output;
    const CheckRow* check = catalog.agent_check(check_id).check;
    return check == nullptr ? std::string_view() : std::string_view(check->output);
}

}  // namespace datapunk::mesh::catalog
