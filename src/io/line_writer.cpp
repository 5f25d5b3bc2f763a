#include "io/line_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace datapunk::mesh::io {

namespace {

std::uint64_t lines_in(std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

Result<LineWriter::File> LineWriter::open_file(const std::string& path) {
    const int fd = path.empty()
                       ? ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                       : ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd >= 0) return File(std::make_shared<const OwnedFd>(fd));
    return Error{
        .code = Code::invalid,
        .what = fmt::format(
            "{}: {}", path.empty() ? std::string("standard error") : path, std::strerror(errno)
        )
    };
}

Result<std::unique_ptr<LineWriter>> LineWriter::open(const LineWriterConfig& config) {
    auto file = open_file(config.path);
    if (!file) return std::move(file).error();
    return std::unique_ptr<LineWriter>(new LineWriter(config, *std::move(file)));
}

LineWriter::LineWriter(const LineWriterConfig& config, File file)
    : config_(config), file_(std::move(file)), thread_([this] { run(); }) {}

LineWriter::~LineWriter() {
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

LineWriter::Source& LineWriter::add_source() {
    const std::lock_guard lock(mutex_);
    sources_.push_back(std::unique_ptr<Source>(new Source(*this)));
    return *sources_.back();
}

void LineWriter::Source::write(std::string_view line) {
    bool is_half_full = false;
    {
        const std::lock_guard lock(mutex_);
        if (waiting_.size() + line.size() + 1 > owner_.config_.bytes_max) {
            owner_.dropped_.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        waiting_ += line;
        waiting_ += '\n';
        is_half_full = waiting_.size() * 2 > owner_.config_.bytes_max;
    }
    if (is_half_full) owner_.hurry();
}

void LineWriter::hurry() noexcept {
    if (asked_to_hurry_.exchange(true, std::memory_order_relaxed)) return;
    {
        const std::lock_guard lock(mutex_);
        is_hurried_ = true;
    }
    changed_.notify_one();
}

Result<> LineWriter::reopen() {
    auto fresh = open_file(config_.path);
    if (!fresh) return std::move(fresh).error();
    const std::lock_guard lock(mutex_);
    file_ = *std::move(fresh);
    return Ok{};
}

void LineWriter::run() {
    for (;;) {
        bool is_last = false;
        {
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, config_.delay, [this] { return is_hurried_ || is_stopping_; });
            is_hurried_ = false;
            is_last = is_stopping_;
        }
        asked_to_hurry_.store(false, std::memory_order_relaxed);
        write_all();
        if (is_last) return;
    }
}

void LineWriter::write_all() {
    std::size_t count = 0;
    {
        const std::lock_guard lock(mutex_);
        count = sources_.size();
    }
    for (std::size_t i = 0; i < count; ++i) {
        Source* source = nullptr;
        File file;
        {
            const std::lock_guard lock(mutex_);
            source = sources_[i].get();
            file = file_;
        }
        taken_.clear();
        {
            const std::lock_guard lock(source->mutex_);
            taken_.swap(source->waiting_);
        }
        if (taken_.empty()) continue;
        const std::uint64_t lines = lines_in(taken_);
        (write_out(file->get(), taken_) ? written_ : dropped_)
            .fetch_add(lines, std::memory_order_relaxed);
    }
}

// Never longer than stop_time without progress: a reader of a pipe may have stopped reading.
bool LineWriter::write_out(int fd, std::string_view lines) {
    while (!lines.empty()) {
        // Up to PIPE_BUF bytes are taken whole by a pipe that says that it is ready; files are.
        std::size_t size = std::min<std::size_t>(lines.size(), PIPE_BUF);
        const std::size_t last = lines.substr(0, size).rfind('\n');
        if (last != std::string_view::npos) size = last + 1;
        pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
        const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(config_.stop_time);
        const int polled = ::poll(&ready, 1, static_cast<int>(wait.count()));
        if (polled < 0 && errno == EINTR) continue;
        if (polled <= 0) return false;
        const ssize_t done = ::write(fd, lines.data(), size);
        if (done < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (done <= 0) return false;
        lines.remove_prefix(static_cast<std::size_t>(done));
    }
    return true;
}

}  // namespace datapunk::mesh::io
