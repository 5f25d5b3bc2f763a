#include "registry/merged/merged_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "registry/left_alone.h"
#include "resilience/backoff.h"

namespace datapunk::mesh::registry::merged {

namespace {

// Between questions to a member that fails, while another is waited for.
constexpr BackoffConfig kAskAgain{
    .base = std::chrono::milliseconds(200), .max = std::chrono::seconds(10)
};
constexpr Duration kBreath = std::chrono::milliseconds(20);  // between any two
// The index is (epoch, count). A member that lost its data begins an epoch with a lower number: the
// index goes backwards, and yet is never one that somebody may be waiting behind.
constexpr unsigned kCountBits = 32;
constexpr std::uint64_t kFirstEpoch = 1U << 20U;

auto visible(const ServiceEndpoint& e) {
    return std::tie(e.id, e.host, e.port, e.weight, e.tags, e.metadata, e.node, e.health);
}

bool is_same(const std::vector<ServiceEndpoint>& a, const std::vector<ServiceEndpoint>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return visible(x) == visible(y);
    });
}

}  // namespace

struct MergedBackend::Followed {
    Followed(io::Loop& loop, std::string service, std::size_t members)
        : name(std::move(service)),
          parts(members),
          indexes(members),
          errors(members),
          failures(members),
          not_before(members, Instant::min()),
          news(loop) {}

    std::string name;
    std::vector<MergePart> parts;
    std::vector<std::uint64_t> indexes;  // of the members' last answers; 0: ask anew
    std::vector<std::optional<Error>> errors;
    std::vector<std::uint32_t> failures;  // in a row
    std::vector<Instant> not_before;      // who failed is not followed again earlier
    std::vector<ServiceEndpoint> composed;
    std::uint64_t epoch = kFirstEpoch;
    std::uint64_t count = 0;
    io::Event news;  // set for a moment when a member has answered or failed
    Instant used;

    std::uint64_t index() const noexcept { return (epoch << kCountBits) | count; }

    bool is_any_answered() const {
        return std::any_of(parts.begin(), parts.end(), [](const MergePart& part) {
            return part.has_answered;
        });
    }

    bool is_all_failing() const {
        return std::all_of(parts.begin(), parts.end(), [](const MergePart& part) {
            return part.failing_since.has_value();
        });
    }

    // Of the member that comes first; to be left alone for as long as all of them want to be.
    Error first_error() const {
        std::optional<Error> first;
        for (const auto& error : errors) {
            if (!error) continue;
            if (!first) first = error;
            first->retry_after = std::min(first->retry_after, error->retry_after);
        }
        if (first) return *first;
        return {
            .code = Code::timeout,
            .what = "no registry has answered in time",
            .source = Source::registry,
            .retryable = true
        };
    }
};

struct MergedBackend::Listing {
    Listing(io::Loop& loop, std::size_t members) : missing(members), done(loop) {}

    std::size_t missing;
    bool has_answer = false;
    std::optional<Error> error;
    std::map<std::string, std::set<std::string>> found;
    io::Event done;
};

Result<std::unique_ptr<MergedBackend>> MergedBackend::create(
    io::Loop& loop, std::vector<MergeMember> members, MergeConfig config
) {
    const auto wrong = [](std::string what) {
        return Error{.code = Code::invalid, .what = "merged registries: " + std::move(what)};
    };
    if (members.size() < 2) return wrong("there must be two at least");
    std::set<std::string> seen;
    for (const MergeMember& member : members) {
        if (member.name.empty()) return wrong("each needs a name");
        if (!seen.insert(member.name).second) {
            return wrong(fmt::format("\"{}\" is there twice", member.name));
        }
    }
    auto made = std::unique_ptr<MergedBackend>(
        new MergedBackend(loop, std::move(members), std::move(config))
    );
    const std::string& wanted = made->config_.register_with;
    if (wanted.empty()) return made;
    if (!seen.contains(wanted)) return wrong(fmt::format("register_with: no \"{}\"", wanted));
    if (made->registrar_ == made->members_.size()) {
        return wrong(fmt::format("register_with: \"{}\" cannot register", wanted));
    }
    return made;
}

MergedBackend::MergedBackend(io::Loop& loop, std::vector<MergeMember> members, MergeConfig config)
    : loop_(loop),
      members_(std::move(members)),
      config_(std::move(config)),
      rng_(loop.rng().fork()),
      left_alone_(members_.size()) {
    const auto can = [this](const MergeMember& member) {
        const bool is_wanted =
            config_.register_with.empty() || config_.register_with == member.name;
        return is_wanted && member.backend->capabilities().can_register;
    };
    const auto found = std::find_if(members_.begin(), members_.end(), can);
    registrar_ = static_cast<std::size_t>(found - members_.begin());
}

Capabilities MergedBackend::capabilities() const noexcept {
    Capabilities out{.can_register = false, .kept_alive_by = KeptAliveBy::nobody};
    if (registrar_ < members_.size()) {
        const Capabilities writer = members_[registrar_].backend->capabilities();
        out.can_register = writer.can_register;
        out.kept_alive_by = writer.kept_alive_by;
    }
    for (const MergeMember& member : members_) {
        const Capabilities one = member.backend->capabilities();
        out.knows_health = out.knows_health && one.knows_health;
        out.empty_is_authoritative = out.empty_is_authoritative && one.empty_is_authoritative;
    }
    return out;
}

io::Task<Result<>> MergedBackend::register_service(ServiceConfig config, Instant deadline) {
    if (registrar_ == members_.size()) co_return refuse_write(kind());
    co_return co_await registrar().register_service(std::move(config), deadline);
}

io::Task<Result<>> MergedBackend::deregister_service(std::string id, Instant deadline) {
    if (registrar_ == members_.size()) co_return refuse_write(kind());
    co_return co_await registrar().deregister_service(std::move(id), deadline);
}

io::Task<Result<bool>> MergedBackend::has_service(std::string id, Instant deadline) {
    if (registrar_ == members_.size()) co_return false;
    co_return co_await registrar().has_service(std::move(id), deadline);
}

io::Task<Result<std::optional<Metadata>>> MergedBackend::metadata_of(
    std::string id, Instant deadline
) {
    if (registrar_ == members_.size()) co_return std::optional<Metadata>();
    co_return co_await registrar().metadata_of(std::move(id), deadline);
}

io::Task<Result<>> MergedBackend::heartbeat(
    std::string id, Health health, std::string note_text, Instant deadline
) {
    if (registrar_ == members_.size()) co_return refuse_write(kind());
    co_return co_await registrar().heartbeat(std::move(id), health, std::move(note_text), deadline);
}

std::shared_ptr<MergedBackend::Followed> MergedBackend::followed(const std::string& service) {
    auto found = services_.find(service);
    if (found == services_.end()) {
        if (services_.size() >= config_.services_max) {
            const auto older = [](const auto& a, const auto& b) {
                return a.second->used < b.second->used;
            };
            services_.erase(std::min_element(services_.begin(), services_.end(), older));
        }
        auto made = std::make_shared<Followed>(loop_, service, members_.size());
        found = services_.emplace(service, std::move(made)).first;
    }
    found->second->used = loop_.now();
    return found->second;
}

// Whether the composed set is another one now.
bool MergedBackend::compose(Followed& one) {
    std::vector<ServiceEndpoint> now = merge(config_.rules, one.parts, loop_.now());
    const bool is_changed = one.count == 0 || !is_same(now, one.composed);
    one.composed = std::move(now);
    if (is_changed) ++one.count;
    return is_changed;
}

// Why the member is not to be asked: it wants to be left alone, in whatever matter.
std::optional<Error> MergedBackend::left_alone(std::size_t at) const {
    const std::optional<Error>& wish = left_alone_[at].wish;
    const Instant now = loop_.now();
    if (!wish || now >= left_alone_[at].until) return std::nullopt;
    Error error = *wish;
    error.retry_after = left_alone_[at].until - now;
    return error;
}

void MergedBackend::note_wish(std::size_t at, const Error& error) {
    if (error.retry_after <= Duration::zero()) return;
    left_alone_[at] = {error, loop_.now() + std::min(error.retry_after, kLeftAloneMax)};
}

void MergedBackend::note(Followed& one, std::size_t at, Result<Answer> answer) {
    MergePart& part = one.parts[at];
    if (answer) {
        const bool is_reset = answer->index < one.indexes[at];
        if (is_reset) {
            --one.epoch;
            one.count = 0;
        }
        one.indexes[at] = is_reset ? 0 : answer->index;
        part.endpoints = std::move(answer->endpoints);
        part.has_answered = true;
        part.failing_since.reset();
        one.errors[at].reset();
        one.failures[at] = 0;
        one.not_before[at] = Instant::min();
    } else {
        one.indexes[at] = 0;
        if (!part.failing_since) part.failing_since = loop_.now();
        one.errors[at] = std::move(answer).error();
        const bool was_asked = loop_.now() >= left_alone_[at].until;
        note_wish(at, *one.errors[at]);
        Duration pause{};
        if (was_asked) pause = resilience::full_jitter(kAskAgain, one.failures[at]++, rng_);
        one.not_before[at] = std::max(loop_.now() + pause, left_alone_[at].until);
    }
    one.news.set();
    one.news.clear();
}

io::Task<void> MergedBackend::ask_once(
    std::shared_ptr<Followed> one, std::size_t at, Instant deadline
) {
    if (auto refusal = left_alone(at)) {
        note(*one, at, *std::move(refusal));
        co_return;
    }
    const std::uint64_t after = 0;
    auto answer = co_await members_[at].backend->wait(one->name, after, Duration::zero(), deadline);
    note(*one, at, std::move(answer));
}

// Asks the member again and again; ended by whoever waits for the sum of them.
io::Task<void> MergedBackend::follow_member(
    std::shared_ptr<Followed> one, std::size_t at, Duration longest, Instant deadline
) {
    const Instant until = loop_.now() + longest;
    // The first wait ends before the one who waits for the sum does, or he would never hear what a
    // member says when nothing has changed: that its index went backwards.
    bool is_first = true;
    while (loop_.now() < until) {
        // Whoever waits may begin anew at any moment, because another member has news.
        if (loop_.now() < one->not_before[at]) {
            co_await io::sleep_until(loop_, one->not_before[at]);
            continue;
        }
        const std::uint64_t after = one->indexes[at];
        Duration wait_for = after == 0 ? Duration::zero() : until - loop_.now();
        if (std::exchange(is_first, false)) wait_for = wait_for / 8 * 7;
        auto answer = co_await members_[at].backend->wait(one->name, after, wait_for, deadline);
        note(*one, at, std::move(answer));
        // Also a member that answers at once, whatever it is asked, is not asked without end.
        co_await io::sleep_for(loop_, kBreath);
    }
}

// A fresh word from every member that has one to give.
io::Task<void> MergedBackend::gather(std::shared_ptr<Followed> one, Instant deadline) {
    std::vector<bool> may_be_late(members_.size());
    std::vector<bool> has_ended(members_.size());
    const auto asked = [](std::vector<bool>* ended, std::size_t at, io::Task<void> task
                       ) -> io::Task<void> {
        co_await std::move(task);
        (*ended)[at] = true;
    };
    io::TaskGroup questions;
    for (std::size_t at = 0; at < members_.size(); ++at) {
        may_be_late[at] = one->parts[at].failing_since.has_value();
        questions.spawn(asked(&has_ended, at, ask_once(one, at, deadline)));
    }
    Instant patience = kNever;
    for (;;) {
        bool is_anyone_here = false;
        bool is_everyone_here = true;
        bool is_over = true;
        for (std::size_t at = 0; at < members_.size(); ++at) {
            const bool is_good = has_ended[at] && !one->parts[at].failing_since;
            is_anyone_here = is_anyone_here || is_good;
            is_everyone_here = is_everyone_here && (has_ended[at] || may_be_late[at]);
            is_over = is_over && has_ended[at];
        }
        if (is_over || (is_anyone_here && is_everyone_here)) break;
        if (is_anyone_here && patience == kNever) patience = loop_.now() + config_.patience;
        const Instant until = std::min(deadline, patience);
        const bool is_news = co_await one->news.wait(until);
        if (!is_news) break;
    }
}

io::Task<Result<Answer>> MergedBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    const std::shared_ptr<Followed> one = followed(service);
    const Instant until = std::min(loop_.now() + longest, deadline);
    if (after == 0 || one->count == 0 || one->is_all_failing()) {
        co_await gather(one, deadline);
        (void)compose(*one);
    }
    io::TaskGroup questions;
    if (after != 0 && one->index() == after) {
        for (std::size_t at = 0; at < members_.size(); ++at) {
            questions.spawn(follow_member(one, at, longest, deadline));
        }
        (void)compose(*one);
    }
    while (after != 0 && one->index() == after && !one->is_all_failing()) {
        const Instant due = merge_due(config_.rules, one->parts, loop_.now());
        const Instant wake = std::min(until, due);
        co_await one->news.wait(wake);
        (void)compose(*one);
        if (loop_.now() >= until) break;
    }
    one->used = loop_.now();
    if (!one->is_any_answered() || one->is_all_failing()) co_return one->first_error();
    co_return Answer{.endpoints = one->composed, .index = one->index()};
}

io::Task<void> MergedBackend::list(std::shared_ptr<Listing> out, std::size_t at, Instant deadline) {
    const auto refusal = left_alone(at);
    if (refusal) {
        if (!out->error) out->error = *refusal;
        if (--out->missing == 0) out->done.set();
        co_return;
    }
    auto answer = co_await members_[at].backend->services(deadline);
    if (!answer) note_wish(at, answer.error());
    if (answer) {
        out->has_answer = true;
        for (const ServiceSummary& one : *answer) {
            out->found[one.name].insert(one.tags.begin(), one.tags.end());
        }
    } else if (!out->error) {
        out->error = std::move(answer).error();
    }
    if (--out->missing == 0) out->done.set();
}

io::Task<Result<std::vector<ServiceSummary>>> MergedBackend::services(Instant deadline) {
    const auto listing = std::make_shared<Listing>(loop_, members_.size());
    io::TaskGroup questions;
    for (std::size_t at = 0; at < members_.size(); ++at) {
        questions.spawn(list(listing, at, deadline));
    }
    co_await listing->done.wait(deadline);
    if (!listing->has_answer) {
        if (listing->error) co_return *listing->error;
        co_return Error{
            .code = Code::timeout,
            .what = "no registry has answered in time",
            .source = Source::registry,
            .retryable = true
        };
    }
    std::vector<ServiceSummary> out;
    for (auto& [name, tags] : listing->found) {
        out.push_back({.name = name, .tags = std::vector<std::string>(tags.begin(), tags.end())});
    }
    co_return out;
}

}  // namespace datapunk::mesh::registry::merged
