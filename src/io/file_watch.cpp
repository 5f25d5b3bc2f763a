#include "io/file_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "io/epoll_loop.h"

namespace datapunk::mesh::io {

namespace {

namespace fs = std::filesystem;

// Writes that are complete, and every way in which a name comes to mean another file.
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO |
                                  IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr int kLinksMax = 40;  // as Linux: then it is a circle

// The directories in which something may happen that changes what `path` leads to: that of every
// link on the way, and of the file at its end; a directory itself.
std::set<std::string> directories_of(fs::path path) {
    std::set<std::string> out;
    std::error_code failed;
    for (int links = 0; links < kLinksMax; ++links) {
        path = fs::absolute(path, failed).lexically_normal();
        fs::path walked;
        fs::path target;
        auto part = path.begin();
        for (; part != path.end(); ++part) {
            const fs::path next = walked / *part;
            if (fs::is_symlink(fs::symlink_status(next, failed))) {
                out.insert(walked);
                target = fs::read_symlink(next, failed);
                break;
            }
            walked = next;
        }
        if (target.empty()) break;
        fs::path led = target.is_absolute() ? target : walked / target;
        for (++part; part != path.end(); ++part) led /= *part;
        path = std::move(led);
    }
    const fs::path directory = fs::is_directory(path, failed) ? path : path.parent_path();
    if (fs::is_directory(directory, failed)) out.insert(directory);
    // Also the parent: the directory may be exchanged as a whole.
    if (directory.has_parent_path()) out.insert(directory.parent_path());
    return out;
}

}  // namespace

Task<Result<>> FileWatch::changed(Instant deadline) {
    const bool came = co_await changed_.wait(deadline);
    if (!came) co_return Error{.code = Code::timeout, .what = "no change before the deadline"};
    changed_.clear();
    co_return Ok{};
}

struct KernelFileWatch::Source final : FdHandler {
    Source(EpollLoop& l, int descriptor, std::string p)
        : loop(l), fd(descriptor), path(std::move(p)) {}

    ~Source() {
        loop.remove(fd, *this);
        ::close(fd);
    }

    void on_events(std::uint32_t /*events*/) override {
        alignas(inotify_event) char buffer[4096];
        while (::read(fd, buffer, sizeof buffer) > 0) {
        }
        owner->note_change();
    }

    EpollLoop& loop;
    int fd;
    std::string path;
    std::set<int> watches;
    KernelFileWatch* owner = nullptr;
};

Result<std::unique_ptr<KernelFileWatch>> KernelFileWatch::create(
    EpollLoop& loop, std::string path
) {
    const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        return Error{
            .code = Code::exhausted, .what = fmt::format("inotify: {}", std::strerror(errno))
        };
    }
    auto source = std::make_unique<Source>(loop, fd, std::move(path));
    if (const int error = loop.add(fd, *source); error != 0) {
        return Error{
            .code = Code::exhausted, .what = fmt::format("inotify: {}", std::strerror(error))
        };
    }
    return std::unique_ptr<KernelFileWatch>(new KernelFileWatch(loop, std::move(source)));
}

KernelFileWatch::KernelFileWatch(EpollLoop& loop, std::unique_ptr<Source> source)
    : FileWatch(loop), source_(std::move(source)) {
    source_->owner = this;
}

KernelFileWatch::~KernelFileWatch() = default;

Result<> KernelFileWatch::refresh() {
    std::set<int> watches;
    Result<> outcome = Ok{};
    // The same directory again is the same watch, unless it is another one of that name.
    for (const std::string& directory : directories_of(source_->path)) {
        const int watch = inotify_add_watch(source_->fd, directory.c_str(), kEvents);
        if (watch >= 0) {
            watches.insert(watch);
        } else {
            outcome = Error{
                .code = errno == ENOENT ? Code::not_found : Code::exhausted,
                .what = fmt::format("watch {}: {}", directory, std::strerror(errno))
            };
        }
    }
    for (const int old : source_->watches) {
        if (!watches.contains(old)) inotify_rm_watch(source_->fd, old);
    }
    source_->watches = std::move(watches);
    return outcome;
}

}  // namespace datapunk::mesh::io
