#include "registry/zookeeper/child_view.h"

#if MESH_ZOOKEEPER

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/counted.h"
#include "registry/instance_record.h"
#include "registry/zookeeper/ephemeral_store.h"
#include "wire/url.h"

namespace datapunk::mesh::registry::zookeeper {

namespace {

// Requests on their way at once: a service of 10,000 is not one packet.
constexpr std::size_t kFetchesMax = 200;
constexpr int kTriesMax = 3;  // through connections that are lost

}  // namespace

ChildView::ChildView(ZookeeperSession& session, std::string service)
    : session_(session),
      service_(std::move(service)),
      path_(service_path(session.config().prefix, service_)),
      last_used_(session.loop().now()),
      changed_(session.loop()),
      fetched_(session.loop()) {}

void ChildView::wake() {
    changed_.set();
    changed_.clear();
}

void ChildView::note_changed(std::string_view child) {
    if (child.empty()) {
        is_list_dirty_ = true;
    } else if (const auto at = children_.find(child); at != children_.end()) {
        at->second.is_dirty = true;
    }
    wake();
}

void ChildView::note_lost() {
    is_list_dirty_ = true;
    for (auto& [name, child] : children_) child.is_dirty = true;
    wake();
}

void ChildView::note_failing() {
    ++failures_;
    wake();
}

// A read under way whose task is destroyed has set a watch and told nobody what it found.
struct ChildView::Unread {
    Unread(ChildView& of, std::string of_child) : view(of), child(std::move(of_child)) {}

    Unread(const Unread&) = delete;
    Unread& operator=(const Unread&) = delete;

    ~Unread() {
        if (!is_over) view.note_changed(child);
    }

    ChildView& view;
    std::string child;  // empty: the list
    bool is_over = false;
};

bool ChildView::is_dirty() const {
    return is_list_dirty_ || std::any_of(children_.begin(), children_.end(), [](const auto& entry) {
               return entry.second.is_dirty;
           });
}

io::Task<Result<>> ChildView::list(Instant deadline) {
    is_list_dirty_ = false;  // what happens from now on fires the new watch
    Unread unread(*this, {});
    auto listed = co_await session_.children(path_, true, deadline);
    if (!listed && listed.error().code == Code::not_found) {
        auto there = co_await session_.exists(path_, true, deadline);
        unread.is_over = true;
        if (!there || *there) is_list_dirty_ = true;
        if (!there) co_return std::move(there).error();
        if (!*there) {
            children_.clear();
            listed_ = 0;
        }
        co_return Ok{};
    }
    unread.is_over = true;
    if (!listed) {
        is_list_dirty_ = true;
        co_return std::move(listed).error();
    }
    std::map<std::string, Child, std::less<>> children;
    for (const std::string& name : listed->names) {
        const auto known = children_.find(name);
        children[name] = known == children_.end() ? Child{} : std::move(known->second);
    }
    children_ = std::move(children);
    // A node that was made for a first child to come is no news yet.
    const bool is_made_only = children_.empty() && listed_ == 0 && index_ != 0;
    if (!is_made_only) listed_ = listed->changed;
    co_return Ok{};
}

io::Task<void> ChildView::fetch_one(std::string name, Instant deadline) {
    Unread unread(*this, name);
    const std::string path = path_ + "/" + name;
    auto node = co_await session_.get(path, true, deadline);
    unread.is_over = true;
    take(name, std::move(node));
    fetched_.set();
}

void ChildView::take(const std::string& name, Result<Node> node) {
    const auto at = children_.find(name);
    if (at == children_.end()) return;
    if (!node && node.error().code == Code::not_found) {
        children_.erase(at);  // the list's watch tells of it too
        return;
    }
    if (!node) {
        at->second.is_dirty = true;
        fetch_error_ = std::move(node).error();
        return;
    }
    at->second.changed = node->changed;
    at->second.endpoint.reset();
    const auto id = wire::percent_decode(name);
    auto record = id ? parse_record(node->data, service_, *id)
                     : Result<InstanceRecord>(Error{.what = "its name is not percent-encoded"});
    if (record) {
        at->second.endpoint = std::move(record->endpoint);
    } else {
        session_.log().warn(
            "an instance in ZooKeeper makes no sense, left out",
            {{"path", path_ + "/" + name}, {"error", record.error().what}}
        );
    }
}

io::Task<Result<>> ChildView::fetch(Instant deadline) {
    std::vector<std::string> names;
    for (auto& [name, child] : children_) {
        if (!child.is_dirty) continue;
        child.is_dirty = false;
        names.push_back(name);
    }
    fetch_error_.reset();
    io::TaskGroup fetches;
    std::size_t next = 0;
    while (next < names.size() || !fetches.empty()) {
        while (next < names.size() && fetches.size() < kFetchesMax) {
            fetches.spawn(fetch_one(names[next++], deadline));
        }
        fetched_.clear();
        if (!fetches.empty()) co_await fetched_.wait(deadline + std::chrono::seconds(1));
    }
    if (fetch_error_) co_return *fetch_error_;
    co_return Ok{};
}

// One reader at a time; the others find its work done.
io::Task<Result<>> ChildView::refresh(Instant deadline) {
    while (is_reading_) {
        const bool ended = co_await fetched_.wait(deadline);
        if (!ended) {
            co_return Error{
                .code = Code::timeout,
                .what = fmt::format("ZooKeeper: {} is still being read", service_),
                .source = Source::registry,
                .retryable = true
            };
        }
        fetched_.clear();
    }

    struct Reading {
        explicit Reading(ChildView& of) : view(of) { view.is_reading_ = true; }

        Reading(const Reading&) = delete;
        Reading& operator=(const Reading&) = delete;

        ~Reading() {
            view.is_reading_ = false;
            view.fetched_.set();
        }

        ChildView& view;
    } const reading(*this);

    for (int tries = 0; is_dirty(); ++tries) {
        if (session_.loop().now() >= deadline) {
            co_return Error{
                .code = Code::timeout,
                .what = fmt::format("ZooKeeper: {} changes faster than it is read", service_),
                .source = Source::registry,
                .retryable = true
            };
        }
        Result<> done = Ok{};
        if (is_list_dirty_) done = co_await list(deadline);
        if (done) done = co_await fetch(deadline);
        if (!done && (tries >= kTriesMax || !may_pass(done.error()))) co_return std::move(done);
    }
    settle();
    co_return Ok{};
}

// A connection that was just lost, or a session: the next try waits for the new one.
bool ChildView::may_pass(const Error& error) const {
    return error.code == Code::unavailable && !session_.failing();
}

void ChildView::settle() {
    std::uint64_t index = std::max<std::uint64_t>(listed_, 1);
    for (const auto& [name, child] : children_) index = std::max(index, child.changed);
    if (index == index_) return;
    index_ = index;
    wake();
}

Answer ChildView::answer() const {
    Answer out{.index = std::max<std::uint64_t>(index_, 1)};
    for (const auto& [name, child] : children_) {
        if (child.endpoint) out.endpoints.push_back(*child.endpoint);
    }
    std::sort(out.endpoints.begin(), out.endpoints.end(), [](const auto& a, const auto& b) {
        return a.id < b.id;
    });
    return out;
}

io::Task<Result<Answer>> ChildView::wait(std::uint64_t after, Duration longest, Instant deadline) {
    io::Loop& loop = session_.loop();
    const core::Counted waiting(waits_);
    last_used_ = loop.now();
    if (after == 0) is_list_dirty_ = true;
    const Instant until = std::min(deadline, loop.now() + longest);
    const std::uint64_t failures = failures_;
    for (;;) {
        if (is_dirty()) {
            auto done = co_await refresh(deadline);
            if (!done) co_return std::move(done).error();
        }
        if (index_ != after || loop.now() >= until) break;
        co_await changed_.wait(until);
        last_used_ = loop.now();
        if (failures_ != failures && session_.failing()) co_return *session_.failing();
    }
    if (index_ == after) {
        // Silence is news only from a server that is there.
        auto there = co_await session_.exists(path_, false, deadline);
        if (!there && !may_pass(there.error())) co_return std::move(there).error();
        if (!there) is_list_dirty_ = true;
        if (is_dirty()) {
            auto done = co_await refresh(deadline);
            if (!done) co_return std::move(done).error();
        }
    }
    co_return answer();
}

}  // namespace datapunk::mesh::registry::zookeeper

#endif
