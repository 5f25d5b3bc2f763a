#include "io/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "io/epoll_loop.h"

namespace datapunk::mesh::io {

namespace {

// One pipe from the child, read as it comes so that the child never blocks on it.
class Capture final : FdHandler {
  public:
    Capture(EpollLoop& loop, Event& changed, std::size_t bytes_max)
        : loop_(loop), changed_(changed), bytes_max_(bytes_max) {}

    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    ~Capture() {
        close_ends();
        if (fd_ >= 0) ::close(fd_);
    }

    int open() {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) return errno;
        fd_ = ends[0];
        write_end_ = ends[1];
        fcntl(fd_, F_SETFL, O_NONBLOCK);
        const int error = loop_.add(fd_, *this);
        added_ = error == 0;
        return error;
    }

    int write_end() const noexcept { return write_end_; }

    void close_write_end() {
        if (write_end_ >= 0) ::close(std::exchange(write_end_, -1));
    }

    void close_ends() {
        close_write_end();
        if (added_) loop_.remove(fd_, *this);
        added_ = false;
    }

    void drain() {
        char buffer[4096];
        ssize_t got = 0;
        // Bounded: a child that never stops writing must not hold the loop.
        for (int turn = 0; turn < 64; ++turn) {
            got = ::read(fd_, buffer, sizeof buffer);
            if (got <= 0) return;
            const auto bytes = static_cast<std::size_t>(got);
            const std::size_t kept = std::min(bytes, bytes_max_ - text_.size());
            text_.append(buffer, kept);
            is_cut_ = is_cut_ || kept < bytes;
        }
        changed_.set();  // come back: no edge will tell
    }

    std::string take() { return std::move(text_); }

    bool is_cut() const noexcept { return is_cut_; }

  private:
    void on_events(std::uint32_t /*events*/) override { drain(); }

    EpollLoop& loop_;
    Event& changed_;
    std::size_t bytes_max_;
    int fd_ = -1;
    int write_end_ = -1;
    bool added_ = false;
    bool is_cut_ = false;
    std::string text_;
};

std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
    std::vector<std::string> all = added;
    for (char** at = environ; *at != nullptr; ++at) {
        const std::string_view ours(*at);
        const std::string_view name = ours.substr(0, ours.find('=') + 1);
        const bool replaced = std::any_of(added.begin(), added.end(), [&](const auto& entry) {
            return entry.starts_with(name);
        });
        if (!replaced) all.emplace_back(ours);
    }
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (std::string& text : texts) all.push_back(text.data());
    all.push_back(nullptr);
    return all;
}

// The pid, or a negative errno.
int spawn(ProcessSpec spec, int output, int errors) {
    std::vector<std::string> environment =
        spec.inherits_environment ? merged_environment(spec.environment) : spec.environment;
    const std::vector<char*> argv = pointers(spec.arguments);
    const std::vector<char*> envp = pointers(environment);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, 1);
    posix_spawn_file_actions_adddup2(&files, errors, 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    // Our blocked signals (Signals) and an ignored SIGPIPE are not the child's business.
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    );
    pid_t pid = 0;
    const int error = posix_spawnp(&pid, argv[0], &files, &attributes, argv.data(), envp.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error == 0 ? pid : -error;
}

}  // namespace

// A killed child whose task has gone: somebody must still take its exit status.
struct KernelProcesses::Remains final : FdHandler, core::ListNode {
    Remains(EpollLoop& l, int descriptor, int process) : loop(l), fd(descriptor), pid(process) {}

    ~Remains() {
        loop.remove(fd, *this);
        ::close(fd);
    }

    void on_events(std::uint32_t /*events*/) override {
        if (waitpid(pid, nullptr, WNOHANG) != 0) delete this;
    }

    EpollLoop& loop;
    int fd;
    int pid;
};

struct KernelProcesses::Child final : FdHandler {
    Child(KernelProcesses& processes, const ProcessSpec& spec)
        : owner(processes),
          changed(processes.loop_),
          output(processes.loop_, changed, spec.output_bytes_max),
          errors(processes.loop_, changed, spec.output_bytes_max) {}

    ~Child() {
        if (pid_fd < 0) return;
        owner.loop_.remove(pid_fd, *this);
        if (is_reaped) {
            ::close(pid_fd);
            return;
        }
        ::kill(-pid, SIGKILL);
        auto* remains = new Remains(owner.loop_, pid_fd, pid);
        owner.remains_.push_back(*remains);
        if (owner.loop_.add(pid_fd, *remains) != 0) remains->on_events(0);
    }

    int start(ProcessSpec spec) {
        if (spec.arguments.empty() || spec.arguments[0].empty()) return ENOENT;
        if (const int error = output.open(); error != 0) return error;
        if (const int error = errors.open(); error != 0) return error;
        pid = spawn(std::move(spec), output.write_end(), errors.write_end());
        if (pid < 0) return -pid;
        output.close_write_end();
        errors.close_write_end();
        pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));  // glibc 2.36 forgot extern "C"
        const int error = pid_fd < 0 ? errno : owner.loop_.add(pid_fd, *this);
        if (pid_fd < 0) {
            ::kill(-pid, SIGKILL);
            waitpid(pid, nullptr, 0);
        }
        return error;
    }

    void on_events(std::uint32_t /*events*/) override { changed.set(); }

    // Whether it has ended; then its group is gone too and its status is taken.
    bool reap(ProcessResult& result) {
        siginfo_t info{};
        const auto id = static_cast<id_t>(pid);
        if (waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
            return false;
        }
        ::kill(-pid, SIGKILL);  // while the zombie still keeps the number from being reused
        waitid(P_PID, id, &info, WEXITED | WNOHANG);
        is_reaped = true;
        if (info.si_code == CLD_EXITED) {
            result.exit_status = info.si_status;
        } else {
            result.signal = info.si_status;
        }
        output.drain();
        errors.drain();
        result.is_cut = output.is_cut() || errors.is_cut();
        result.output = output.take();
        result.errors = errors.take();
        return true;
    }

    KernelProcesses& owner;
    Event changed;
    Capture output;
    Capture errors;
    int pid = -1;
    int pid_fd = -1;
    bool is_reaped = false;
};

KernelProcesses::KernelProcesses(EpollLoop& loop) : loop_(loop) {}

KernelProcesses::~KernelProcesses() {
    while (Remains* remains = remains_.pop_front()) delete remains;
}

Task<Result<ProcessResult>> KernelProcesses::run(ProcessSpec spec, Instant deadline) {
    Child child(*this, spec);
    if (const int error = child.start(spec); error != 0) {
        const bool missing = error == ENOENT || error == EACCES;
        co_return Error{
            .code = missing ? Code::not_found : Code::exhausted,
            .what = fmt::format(
                "run {}: {}",
                spec.arguments.empty() ? "(no program)" : spec.arguments[0],
                std::strerror(error)
            )
        };
    }
    ProcessResult result;
    Instant next = deadline;
    while (!child.reap(result)) {
        const bool changed = co_await child.changed.wait(next);
        if (changed) {
            child.changed.clear();
            child.output.drain();
            child.errors.drain();
        } else {
            ::kill(-child.pid, result.timed_out ? SIGKILL : SIGTERM);
            next = result.timed_out ? kNever : loop_.now() + spec.grace;
            result.timed_out = true;
        }
    }
    co_return result;
}

}  // namespace datapunk::mesh::io
