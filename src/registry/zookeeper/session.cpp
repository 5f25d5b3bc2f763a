#include "registry/zookeeper/session.h"

#if MESH_ZOOKEEPER

#include <fmt/format.h>
#include <zookeeper/zookeeper.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace datapunk::mesh::registry::zookeeper {

namespace {

// A server that restarts, or a change to another one, is no outage yet.
constexpr Duration kGrace = std::chrono::seconds(2);
constexpr Duration kReopenPause = std::chrono::milliseconds(500);
// The client asks to be called again within a third of the session; more often while it connects.
constexpr Duration kTurnMax = std::chrono::seconds(5);
constexpr Duration kConnectingTurnMax = std::chrono::milliseconds(100);
constexpr int kFlags = 0;

Code code_of(int rc) {
    switch (rc) {
        case ZNONODE:
            return Code::not_found;
        case ZNODEEXISTS:
        case ZBADVERSION:
        case ZNOTEMPTY:
            return Code::conflict;
        case ZNOAUTH:
        case ZAUTHFAILED:
        case ZINVALIDACL:
            return Code::denied;
        case ZCONNECTIONLOSS:
        case ZOPERATIONTIMEOUT:
        case ZSESSIONEXPIRED:
        case ZSESSIONMOVED:
        case ZCLOSING:
        case ZINVALIDSTATE:
        case ZTHROTTLEDOP:
            return Code::unavailable;
        default:
            return Code::invalid;
    }
}

Error problem_of(int rc, std::string_view asked) {
    const Code code = code_of(rc);
    return {
        .code = code,
        .what = fmt::format("ZooKeeper: {}: {}", asked, zerror(rc)),
        .source = Source::registry,
        .retryable = code == Code::unavailable
    };
}

// The client's own lines would go to stderr; what matters we say ourselves.
void drop_line(const char* /*line*/) {}

}  // namespace

struct ZookeeperSession::Call {
    explicit Call(io::Loop& loop) : done(loop) {}

    int rc = ZOK;
    std::string data;
    std::vector<std::string> names;
    Stat stat{};
    std::vector<zoo_op_result_t> results;
    io::Event done;
};

namespace {

using Call = ZookeeperSession::Call;

// Each request gives the client a reference of its own to the call, for its asker may be gone.
void* give(const std::shared_ptr<Call>& call) {
    return new std::shared_ptr<Call>(call);
}

std::shared_ptr<Call> take_back(const void* data) {
    const std::unique_ptr<const std::shared_ptr<Call>> held(
        static_cast<const std::shared_ptr<Call>*>(data)
    );
    return *held;
}

void end(Call& call, int rc, const Stat* stat) {
    call.rc = rc;
    if (rc == ZOK && stat != nullptr) call.stat = *stat;
    call.done.set();
}

void on_void(int rc, const void* data) {
    end(*take_back(data), rc, nullptr);
}

void on_stat(int rc, const Stat* stat, const void* data) {
    end(*take_back(data), rc, stat);
}

void on_data(int rc, const char* value, int length, const Stat* stat, const void* data) {
    const auto call = take_back(data);
    if (rc == ZOK && value != nullptr && length > 0) {
        call->data.assign(value, static_cast<std::size_t>(length));
    }
    end(*call, rc, stat);
}

void on_string(int rc, const char* /*value*/, const void* data) {
    end(*take_back(data), rc, nullptr);
}

void on_names(int rc, const String_vector* names, const Stat* stat, const void* data) {
    const auto call = take_back(data);
    for (int i = 0; rc == ZOK && names != nullptr && i < names->count; ++i) {
        call->names.emplace_back(names->data[i]);
    }
    end(*call, rc, stat);
}

}  // namespace

ZookeeperSession::ZookeeperSession(
    io::EpollLoop& loop,
    io::Network& network,
    ZookeeperConfig config,
    core::Logger log,
    SessionHooks hooks
)
    : loop_(loop),
      network_(network),
      config_(std::move(config)),
      log_(std::move(log)),
      hooks_(std::move(hooks)),
      disconnected_at_(loop.now()),
      connected_(loop),
      changed_(loop) {}

ZookeeperSession::~ZookeeperSession() {
    tasks_.cancel();
    hooks_ = {};  // whom they would tell is gone
    close();
}

void ZookeeperSession::close() {
    if (handle_ == nullptr) return;
    _zhandle* const handle = std::exchange(handle_, nullptr);
    session_id_ = 0;
    connected_.clear();
    zookeeper_close(handle);  // ends what is on its way with ZCLOSING
}

void ZookeeperSession::set_failing(Error error) {
    if (!failing_) log_.warn("no connection to ZooKeeper", {{"error", error.what}});
    failing_ = std::move(error);
    hooks_.on_failing();
}

io::Task<Result<std::string>> ZookeeperSession::addresses() {
    std::string all;
    Error last;
    for (const ZookeeperServer& server : config_.servers) {
        const Instant deadline = loop_.now() + config_.connect_timeout;
        const std::string host = server.host;
        auto found = co_await network_.resolve(host, server.port, deadline);
        if (!found) {
            last = std::move(found).error();
            continue;
        }
        for (const io::SocketAddress& one : *found) {
            all += (all.empty() ? "" : ",") + one.to_string();
        }
    }
    if (all.empty()) co_return last;
    co_return all;
}

io::Task<void> ZookeeperSession::open() {
    auto servers = co_await addresses();
    if (!servers) {
        set_failing(std::move(servers).error());
        co_await io::sleep_for(loop_, kReopenPause);
        co_return;
    }
    const auto timeout =
        std::chrono::duration_cast<std::chrono::milliseconds>(config_.session_timeout).count();
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    handle_ = zookeeper_init2(
        servers->c_str(),
        &ZookeeperSession::on_watch,
        static_cast<int>(timeout),
        nullptr,
        this,
        kFlags,
        &drop_line
    );
    disconnected_at_ = loop_.now();
    was_connected_ = false;
    if (handle_ == nullptr) {
        set_failing(
            {.code = Code::unavailable,
             .what = fmt::format("ZooKeeper: {}", std::strerror(errno)),
             .source = Source::registry,
             .retryable = true}
        );
        co_await io::sleep_for(loop_, kReopenPause);
        co_return;
    }
    if (!config_.user.empty()) {
        const std::string secret = fmt::format("{}:{}", config_.user, config_.password);
        zoo_add_auth(
            handle_, "digest", secret.data(), static_cast<int>(secret.size()), nullptr, nullptr
        );
    }
}

io::Task<void> ZookeeperSession::run() {
    for (;;) {
        if (handle_ == nullptr) co_await open();
        if (handle_ != nullptr) co_await turn();
    }
}

// One round of the client: what it waits for, the wait, and its work.
io::Task<void> ZookeeperSession::turn() {
    int fd = -1;
    int interest = 0;
    timeval tv{};
    const int rc = zookeeper_interest(handle_, &fd, &interest, &tv);
    Duration wait = std::chrono::seconds(tv.tv_sec) + std::chrono::microseconds(tv.tv_usec);
    const bool is_connected = connected_.is_set();
    wait = std::clamp<Duration>(
        wait, std::chrono::milliseconds(1), is_connected ? kTurnMax : kConnectingTurnMax
    );
    int events = 0;
    const Instant until = loop_.now() + wait;
    if (rc == ZOK && fd >= 0) {
        // Anew each time: the client may have closed it and opened another of the same number.
        auto watched = io::ForeignFd::create(loop_, fd);
        if (watched) {
            waiting_on_ = watched->get();
            const io::FdReady wanted{
                .readable = (interest & ZOOKEEPER_READ) != 0,
                .writable = (interest & ZOOKEEPER_WRITE) != 0
            };
            const io::FdReady ready = co_await (*watched)->ready(wanted, until);
            waiting_on_ = nullptr;
            if (ready.readable) events |= ZOOKEEPER_READ;
            if (ready.writable) events |= ZOOKEEPER_WRITE;
        } else {
            co_await io::sleep_until(loop_, until);
        }
    } else {
        co_await io::sleep_until(loop_, until);
    }
    zookeeper_process(handle_, events);
    look_at_state();
}

void ZookeeperSession::look_at_state() {
    const int state = zoo_state(handle_);
    const Instant now = loop_.now();
    if (state == ZOO_CONNECTED_STATE) {
        if (connected_.is_set()) return;
        session_id_ = zoo_client_id(handle_)->client_id;
        if (failing_) log_.info("connected to ZooKeeper again");
        failing_.reset();
        was_connected_ = true;
        connected_.set();
        return;
    }
    if (connected_.is_set()) {
        connected_.clear();
        disconnected_at_ = now;
    }
    const bool is_over = state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE;
    const Duration alone = now - disconnected_at_;
    // Beyond its time the session is lost in any case; and the servers' addresses may have changed.
    const bool is_given_up = alone >= std::max<Duration>(config_.session_timeout, 2 * kGrace);
    if (state == ZOO_AUTH_FAILED_STATE) {
        set_failing(problem_of(ZAUTHFAILED, "log in"));
    } else if (alone >= kGrace && !failing_) {
        set_failing(problem_of(ZCONNECTIONLOSS, "connect"));
    }
    if (!is_over && !is_given_up) return;
    if (was_connected_) {
        log_.warn("a ZooKeeper session is over, registering again");
    }
    const bool was_connected = std::exchange(was_connected_, false);
    close();
    if (was_connected) hooks_.on_lost();
}

void ZookeeperSession::on_watch(_zhandle*, int type, int, const char* path, void* self) {
    if (type == ZOO_SESSION_EVENT || path == nullptr) return;
    const SessionHooks& hooks = static_cast<ZookeeperSession*>(self)->hooks_;
    if (hooks.on_changed) hooks.on_changed(path);
}

io::Task<Result<>> ZookeeperSession::connected(Instant deadline) {
    if (!is_running_) {
        is_running_ = true;
        tasks_.spawn(run());
    }
    if (connected_.is_set()) co_return Ok{};
    const Instant until = std::min(deadline, loop_.now() + config_.connect_timeout);
    const bool came = co_await connected_.wait(until);
    if (came && handle_ != nullptr) co_return Ok{};
    if (failing_) co_return *failing_;
    co_return problem_of(ZCONNECTIONLOSS, "connect");
}

io::Task<Result<>> ZookeeperSession::finish(
    std::shared_ptr<Call> call, int sent, std::string asked, Instant deadline
) {
    if (sent != ZOK) co_return problem_of(sent, asked);
    if (waiting_on_ != nullptr) waiting_on_->interrupt();  // there may be more to send
    const bool ended = co_await call->done.wait(deadline);
    if (!ended) {
        co_return Error{
            .code = Code::timeout,
            .what = fmt::format("ZooKeeper: {}: no answer in time", asked),
            .source = Source::registry,
            .retryable = true
        };
    }
    if (call->rc != ZOK) co_return problem_of(call->rc, asked);
    co_return Ok{};
}

// The client keeps what it was given if it says that it could not send: then it is ours again.
namespace {

int checked_sent(int sent, void* given) {
    if (sent != ZOK) take_back(given);
    return sent;
}

}  // namespace

io::Task<Result<Node>> ZookeeperSession::get(std::string path, bool watch, Instant deadline) {
    auto ready = co_await connected(deadline);
    if (!ready) co_return std::move(ready).error();
    const auto call = std::make_shared<Call>(loop_);
    void* const given = give(call);
    const watcher_fn watcher = watch ? &ZookeeperSession::on_watch : nullptr;
    const int sent =
        checked_sent(zoo_awget(handle_, path.c_str(), watcher, this, &on_data, given), given);
    const std::string asked = "get " + path;
    auto done = co_await finish(call, sent, asked, deadline);
    if (!done) co_return std::move(done).error();
    co_return Node{
        .data = std::move(call->data),
        .version = call->stat.version,
        .changed = static_cast<std::uint64_t>(call->stat.mzxid),
        .is_mine = call->stat.ephemeralOwner != 0 && call->stat.ephemeralOwner == session_id_
    };
}

io::Task<Result<Children>> ZookeeperSession::children(
    std::string path, bool watch, Instant deadline
) {
    auto ready = co_await connected(deadline);
    if (!ready) co_return std::move(ready).error();
    const auto call = std::make_shared<Call>(loop_);
    void* const given = give(call);
    const watcher_fn watcher = watch ? &ZookeeperSession::on_watch : nullptr;
    const int sent = checked_sent(
        zoo_awget_children2(handle_, path.c_str(), watcher, this, &on_names, given), given
    );
    const std::string asked = "list " + path;
    auto done = co_await finish(call, sent, asked, deadline);
    if (!done) co_return std::move(done).error();
    co_return Children{
        .names = std::move(call->names), .changed = static_cast<std::uint64_t>(call->stat.pzxid)
    };
}

io::Task<Result<bool>> ZookeeperSession::exists(std::string path, bool watch, Instant deadline) {
    auto ready = co_await connected(deadline);
    if (!ready) co_return std::move(ready).error();
    const auto call = std::make_shared<Call>(loop_);
    void* const given = give(call);
    const watcher_fn watcher = watch ? &ZookeeperSession::on_watch : nullptr;
    const int sent =
        checked_sent(zoo_awexists(handle_, path.c_str(), watcher, this, &on_stat, given), given);
    const std::string asked = "look for " + path;
    auto done = co_await finish(call, sent, asked, deadline);
    if (done) co_return true;
    if (done.error().code == Code::not_found) co_return false;
    co_return std::move(done).error();
}

io::Task<Result<>> ZookeeperSession::create(std::string path, Instant deadline) {
    auto ready = co_await connected(deadline);
    if (!ready) co_return std::move(ready).error();
    const auto call = std::make_shared<Call>(loop_);
    void* const given = give(call);
    const ACL_vector& acl = config_.user.empty() ? ZOO_OPEN_ACL_UNSAFE : ZOO_CREATOR_ALL_ACL;
    const int sent = checked_sent(
        zoo_acreate(handle_, path.c_str(), "", 0, &acl, ZOO_PERSISTENT, &on_string, given), given
    );
    const std::string asked = "create " + path;
    auto done = co_await finish(call, sent, asked, deadline);
    co_return std::move(done);
}

io::Task<Result<>> ZookeeperSession::make_path(std::string path, Instant deadline) {
    std::size_t end = 0;
    while (end != std::string::npos) {
        end = path.find('/', end + 1);
        const std::string part = path.substr(0, end);
        auto done = co_await create(part, deadline);
        if (!done && done.error().code != Code::conflict) co_return std::move(done);
    }
    co_return Ok{};
}

io::Task<Result<>> ZookeeperSession::commit(std::vector<Step> steps, Instant deadline) {
    auto ready = co_await connected(deadline);
    if (!ready) co_return std::move(ready).error();
    const ACL_vector& acl = config_.user.empty() ? ZOO_OPEN_ACL_UNSAFE : ZOO_CREATOR_ALL_ACL;
    std::vector<zoo_op_t> ops(steps.size());
    std::string asked = "commit";
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const Step& step = steps[i];
        const char* const path = step.path.c_str();
        const int length = static_cast<int>(step.data.size());
        if (step.kind == Step::Kind::create) {
            zoo_create_op_init(
                &ops[i], path, step.data.data(), length, &acl, ZOO_EPHEMERAL, nullptr, 0
            );
        } else if (step.kind == Step::Kind::remove) {
            zoo_delete_op_init(&ops[i], path, step.version);
        } else if (step.kind == Step::Kind::set) {
            zoo_set_op_init(&ops[i], path, step.data.data(), length, step.version, nullptr);
        } else {
            zoo_check_op_init(&ops[i], path, step.version);
        }
        asked += " " + step.path;
    }
    const auto call = std::make_shared<Call>(loop_);
    call->results.resize(steps.size());
    void* const given = give(call);
    const int sent = checked_sent(
        zoo_amulti(
            handle_, static_cast<int>(ops.size()), ops.data(), call->results.data(), &on_void, given
        ),
        given
    );
    auto done = co_await finish(call, sent, asked, deadline);
    co_return std::move(done);
}

}  // namespace datapunk::mesh::registry::zookeeper

#endif
