#include "catalog/session_timers.h"

#include <algorithm>
#include <utility>

#include "catalog/limits.h"

namespace datapunk::mesh::catalog {

namespace {

constexpr std::size_t kEndsAtOnce = 1000;  // lock delays in one command: a megabyte of keys

}  // namespace

void SessionTimers::restart(const Catalog& catalog, Instant now) {
    *this = SessionTimers();
    looked_ = now;
    for (const SessionRow* session : catalog.sessions().data) start_session(*session, now);
    for (const auto& [key, delay] : catalog.lock_delays()) start_delay(key, delay, now);
}

void SessionTimers::start_session(const SessionRow& session, Instant now) {
    const Duration ttl = ttl_of(session);
    if (ttl <= Duration::zero()) return;
    const Duration lifetime = std::min(ttl, kSessionTtlMax) * kTtlFactor;
    // Without sessions nobody asks due(), which is no standstill.
    if (sessions_.empty()) looked_ = now;
    if (sessions_.try_emplace(session.id, Session{lifetime, now + lifetime}).second) {
        expiries_.emplace(now + lifetime, session.id);
    }
}

void SessionTimers::start_delay(const std::string& key, Duration delay, Instant now) {
    const Instant end = now + std::clamp(delay, Duration::zero(), kLockDelayMax);
    const auto [at, is_new] = delays_.try_emplace(key, end);
    if (!is_new) {
        delay_ends_.erase({at->second, key});
        at->second = end;
    }
    delay_ends_.emplace(at->second, key);
}

void SessionTimers::sync(const Catalog& catalog, const Applied& applied, Instant now) {
    for (const std::string& id : applied.sessions) {
        if (const SessionRow* session = catalog.session(id).data; session != nullptr) {
            start_session(*session, now);
            continue;
        }
        const auto gone = sessions_.find(id);
        if (gone == sessions_.end()) continue;
        expiries_.erase({gone->second.deadline, id});
        sessions_.erase(gone);
    }
    for (const std::string& key : applied.lock_delays) {
        const auto delay = catalog.lock_delays().find(key);
        if (delay != catalog.lock_delays().end()) {
            start_delay(key, delay->second, now);
            continue;
        }
        const auto over = delays_.find(key);
        if (over == delays_.end()) continue;
        delay_ends_.erase({over->second, key});
        delays_.erase(over);
    }
}

bool SessionTimers::renew(std::string_view session_id, Instant now) {
    const auto found = sessions_.find(session_id);
    if (found == sessions_.end()) return true;  // without a TTL there is nothing to renew
    Session& session = found->second;
    if (session.is_expiring) return false;
    expiries_.erase({session.deadline, found->first});
    session.deadline = now + session.lifetime;
    expiries_.emplace(session.deadline, found->first);
    return true;
}

void SessionTimers::notice_standstill(Instant now) {
    const Duration gap = looked_ == kNever ? Duration::zero() : now - looked_;
    looked_ = now;
    if (gap <= kTick + kStall || sessions_.empty()) return;
    expiries_.clear();
    for (auto& [id, session] : sessions_) {
        if (!session.is_expiring) {
            session.deadline = std::max(session.deadline + gap, now + kStallGrace);
        }
        expiries_.emplace(session.deadline, id);
    }
}

SessionTimers::Due SessionTimers::due(Instant now) {
    notice_standstill(now);
    Due due;
    // What fires is tried again after kRetry, unless it goes before: the log may refuse the write.
    while (!expiries_.empty() && expiries_.begin()->first <= now) {
        const std::string id = expiries_.begin()->second;
        expiries_.erase(expiries_.begin());
        Session& session = sessions_.find(id)->second;
        session.is_expiring = true;
        session.deadline = now + kRetry;
        expiries_.emplace(session.deadline, id);
        due.commands.push_back(DestroySession{id});
    }
    EndLockDelays over;
    while (!delay_ends_.empty() && delay_ends_.begin()->first <= now) {
        const std::string key = delay_ends_.begin()->second;
        delay_ends_.erase(delay_ends_.begin());
        delays_.find(key)->second = now + kRetry;
        delay_ends_.emplace(now + kRetry, key);
        over.keys.push_back(key);
        if (over.keys.size() == kEndsAtOnce) {
            due.commands.push_back(std::exchange(over, {}));
        }
    }
    if (!over.keys.empty()) due.commands.push_back(std::move(over));
    if (!expiries_.empty()) due.next = std::min(expiries_.begin()->first, now + kTick);
    if (!delay_ends_.empty()) due.next = std::min(due.next, delay_ends_.begin()->first);
    return due;
}

}  // namespace datapunk::mesh::catalog
