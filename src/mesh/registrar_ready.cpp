// The registrar's wait until a service is ready to be announced.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"
#include "mesh/registration_entry.h"

namespace datapunk::mesh::internal {

namespace {

using std::chrono::milliseconds;

// Between looks; a service that has just started is wanted soon.
constexpr Duration kAskInterval = milliseconds(100);
constexpr Duration kProbeInterval = milliseconds(250);

Error not_ready(const RegistrationEntry& entry) {
    const Readiness& ready = entry.config.ready;
    std::string why = "it does not say that it is ready";
    if (ready.check_passes && !entry.is_ready) {
        why = "its check does not pass";
        if (!entry.note.empty()) why += fmt::format(" ({})", entry.note);
    }
    return {
        .code = Code::timeout,
        .what = fmt::format("not ready after {}: {}", core::format_duration(ready.timeout), why),
        .retryable = true
    };
}

}  // namespace

Result<> Registrar::start_ready_check(const RegistrationEntry& entry, std::string key) {
    if (!entry.config.ready.check_passes) return Ok{};
    if (ready_checker_ == nullptr) {
        return Error{.code = Code::invalid, .what = "there is no network to run its check over"};
    }
    ServiceConfig probed = entry.config;
    probed.id = std::move(key);
    probed.check.interval = std::min(probed.check.interval, kProbeInterval);
    probed.check.successes_before_passing = 1;
    probed.check.failures_before_critical = 1;
    probed.check.failures_before_warning = 0;
    probed.check.initial = Health::critical;
    probed.check.grace = Duration::zero();
    return ready_checker_->start(probed);
}

void Registrar::ask_whether_ready(const EntryPtr& entry) {
    entry->is_asking = true;
    // The entry is the loop's: what runs elsewhere only carries it there and back.
    auto answer = [weak = std::weak_ptr(entry)](bool yes) {
        const EntryPtr asked = weak.lock();
        if (asked == nullptr) return;
        asked->is_asking = false;
        asked->has_said_yes = yes;
        if (yes) asked->changed.set();
    };
    auto work = [ask = entry->config.ready.ask, &loop = parts_.loop, answer = std::move(answer)] {
        bool yes = false;
        try {
            yes = (*ask)();
        } catch (...) {
            yes = false;  // as documented
        }
        loop.post([yes, answer] { answer(yes); });
    };
    if (parts_.elsewhere) {
        parts_.elsewhere(std::move(work));
    } else {
        work();
    }
}

io::Task<Result<>> Registrar::await_ready(EntryPtr entry) {
    const Readiness ready = entry->config.ready;
    if (!ready.check_passes && ready.ask == nullptr) co_return Ok{};

    struct GettingReady {
        GettingReady(Registrar& of, const EntryPtr& entry)
            : registrar(of), key(fmt::format("{}#{}", entry->config.id, entry->ticket)) {
            registrar.getting_ready_[key] = entry;
        }

        GettingReady(const GettingReady&) = delete;
        GettingReady& operator=(const GettingReady&) = delete;

        ~GettingReady() {
            registrar.getting_ready_.erase(key);
            if (registrar.ready_checker_ != nullptr) registrar.ready_checker_->stop(key);
        }

        Registrar& registrar;
        const std::string key;  // two announcements of one id may wait
    } const getting_ready(*this, entry);

    if (auto started = start_ready_check(*entry, getting_ready.key); !started) co_return started;

    io::Loop& loop = parts_.loop;
    const Instant begun = loop.now();
    const Instant until = begun + ready.timeout;
    entry->is_ready = !ready.check_passes;
    for (;;) {
        if (entry->is_leaving) {
            co_return Error{
                .code = Code::aborted, .what = "another operation on its id came meanwhile"
            };
        }
        if (entry->is_ready && (ready.ask == nullptr || entry->has_said_yes)) break;
        if (loop.now() >= until) co_return not_ready(*entry);
        if (entry->is_ready && ready.ask != nullptr && !entry->is_asking) ask_whether_ready(entry);
        const Instant again = std::min(until, loop.now() + kAskInterval);
        const bool is_changed = co_await entry->changed.wait(again);
        if (is_changed && !entry->is_leaving) entry->changed.clear();
    }
    entry->note.clear();
    // The time that announcing may take begins now.
    entry->deadline += loop.now() - begun;
    co_return Ok{};
}

}  // namespace datapunk::mesh::internal
