#include "io/relay.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/kept.h"
#include "io/splice_end.h"

namespace datapunk::mesh::io {

namespace {

constexpr std::size_t kBufferBytes = 64UL * 1024;
constexpr int kPipeBytes = 256 * 1024;  // if the kernel lets us; 64 KiB otherwise
// Then others have their turn.
constexpr int kRoundsMax = 16;
// Kept per thread: 4 MiB of buffers, and pipes, which cost three system calls to make.
constexpr std::size_t kBuffersKept = 64;
constexpr std::size_t kPipesKept = 32;

class Pipe {
  public:
    Pipe() = default;

    Pipe(Pipe&& other) noexcept
        : in_(std::exchange(other.in_, -1)), out_(std::exchange(other.out_, -1)) {}

    Pipe& operator=(Pipe&& other) noexcept {
        std::swap(in_, other.in_);
        std::swap(out_, other.out_);
        return *this;
    }

    ~Pipe() {
        if (in_ >= 0) ::close(in_);
        if (out_ >= 0) ::close(out_);
    }

    static Pipe make() {
        int ends[2];
        Pipe pipe;
        if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return pipe;
        pipe.out_ = ends[0];
        pipe.in_ = ends[1];
        ::fcntl(pipe.in_, F_SETPIPE_SZ, kPipeBytes);
        return pipe;
    }

    explicit operator bool() const noexcept { return in_ >= 0; }

    int in() const noexcept { return in_; }

    int out() const noexcept { return out_; }

  private:
    int in_ = -1;   // bytes go in here
    int out_ = -1;  // and come out there
};

struct Shelf {
    core::Kept<std::unique_ptr<char[]>> buffers{kBuffersKept};
    core::Kept<Pipe> pipes{kPipesKept};

    std::unique_ptr<char[]> take_buffer() {
        return buffers.empty() ? std::unique_ptr<char[]>(new char[kBufferBytes]) : buffers.take();
    }

    void put(std::unique_ptr<char[]> buffer) {
        if (!buffers.full()) buffers.put(std::move(buffer));
    }

    Pipe take_pipe() { return pipes.empty() ? Pipe::make() : pipes.take(); }

    // Empty ones only: what is in it would come out at somebody else's.
    void put(Pipe pipe) {
        if (!pipes.full()) pipes.put(std::move(pipe));
    }
};

thread_local Shelf shelf;

}  // namespace

// One direction.
class Relay::Half final : Ready {
  public:
    Half(Relay& relay, Stream& from, Stream& to, RelayEnd from_failed)
        : relay_(relay),
          from_failed_(from_failed),
          from_(from),
          to_(to),
          from_pipe_(dynamic_cast<SpliceEnd*>(&from)),
          to_pipe_(dynamic_cast<SpliceEnd*>(&to)),
          on_readable_(*this),
          on_writable_(*this) {}

    ~Half() {
        stop();
        // A pipe with bytes in it is closed.
        if (pipe_ && pending_ == 0) shelf.put(std::move(pipe_));
    }

    void put_back(std::string bytes) { first_ = std::move(bytes); }

    void start() {
        from_.set_reader(&on_readable_);
        reading_ = true;
        work();
    }

    void stop() {
        if (std::exchange(reading_, false)) from_.set_reader(nullptr);
        if (std::exchange(writing_, false)) to_.set_writer(nullptr);
        unlink();
        ended_ = true;
    }

    bool is_ended() const noexcept { return ended_; }

    std::uint64_t moved() const noexcept { return moved_; }

  private:
    enum class Step : std::uint8_t { on, wait, over };

    struct OnReadable final : IoWaiter {
        explicit OnReadable(Half& owner) noexcept : half(owner) {}

        // While bytes wait to be written no more are wanted: work() reads on afterwards.
        void retry() override {
            if (half.pending() == 0) half.work();
        }

        Half& half;
    };

    struct OnWritable final : IoWaiter {
        explicit OnWritable(Half& owner) noexcept : half(owner) {}

        void retry() override { half.work(); }

        Half& half;
    };

    std::size_t pending() const noexcept { return pending_ + first_.size(); }

    void run() override { work(); }

    void work() {
        if (ended_) return;
        for (int i = 0; i < kRoundsMax; ++i) {
            if (pending() == 0) {
                if (finished_) {
                    to_.shutdown_write();
                    finish();
                    return;
                }
                if (const Step step = fill(); step != Step::on) return;
                continue;
            }
            if (const Step step = drain(); step != Step::on) return;
        }
        relay_.loop_.make_ready(*this);
    }

    void finish() {
        give_back();
        stop();
        relay_.half_ended();
    }

    void give_back() {
        if (buffer_ != nullptr) shelf.put(std::move(buffer_));
        if (pipe_) {
            shelf.put(std::move(pipe_));
            pipe_ = Pipe();
        }
    }

    Step fill() { return splicing_ ? fill_pipe() : fill_buffer(); }

    Step fill_pipe() {
        const IoResult got = from_pipe_->splice_into(pipe_.in(), kPipeBytes);
        if (got.state == IoResult::State::would_block)
            splicing_ = false;  // what comes may be short
        return took(got);
    }

    // As much as is there: TLS gives a record at a time, which one write should carry together.
    Step fill_buffer() {
        if (buffer_ == nullptr) buffer_ = shelf.take_buffer();
        begin_ = 0;
        IoResult got;
        std::size_t total = 0;
        do {
            got = from_.read_some({buffer_.get() + total, kBufferBytes - total});
            if (got.state != IoResult::State::done || got.bytes == 0) break;
            total += got.bytes;
        } while (from_pipe_ == nullptr && total < kBufferBytes);
        if (total == 0) return took(got);
        if (got.state == IoResult::State::done && got.bytes == 0) finished_ = true;
        // An error behind these bytes stays: the next read meets it.
        splice_from_now_on(total);
        return took({.bytes = total});
    }

    // A full buffer is the mark of bulk.
    void splice_from_now_on(std::size_t got) {
        if (from_pipe_ == nullptr || to_pipe_ == nullptr || got < kBufferBytes) return;
        if (!pipe_) pipe_ = shelf.take_pipe();
        splicing_ = static_cast<bool>(pipe_);
        in_buffer_ = splicing_;  // these bytes are still to be written from it
    }

    Step took(const IoResult& got) {
        switch (got.state) {
            case IoResult::State::would_block:
                give_back();
                return Step::wait;
            case IoResult::State::failed:
                relay_.end(from_failed_);
                return Step::over;
            case IoResult::State::done:
                break;
        }
        if (got.bytes == 0) finished_ = true;
        pending_ = got.bytes;
        relay_.note_progress();
        return Step::on;
    }

    Step drain() {
        IoResult sent;
        const bool is_first = !first_.empty();
        if (is_first) {
            const iovec piece{.iov_base = first_.data(), .iov_len = first_.size()};
            sent = to_.write_some(&piece, 1);
        } else if (splicing_ && !in_buffer_) {
            sent = to_pipe_->splice_from(pipe_.out(), pending_);
        } else {
            const iovec piece{.iov_base = buffer_.get() + begin_, .iov_len = pending_};
            sent = to_.write_some(&piece, 1);
        }
        if (sent.state == IoResult::State::would_block) {
            if (!std::exchange(writing_, true)) to_.set_writer(&on_writable_);
            return Step::wait;
        }
        if (sent.state == IoResult::State::failed) {
            // Nobody takes this any more; an answer that was sent before may still come.
            finish();
            return Step::over;
        }
        moved_ += sent.bytes;
        relay_.note_progress();
        if (is_first) {
            first_.erase(0, sent.bytes);
        } else {
            begin_ += sent.bytes;
            pending_ -= sent.bytes;
            if (pending_ == 0) in_buffer_ = false;
        }
        if (pending() == 0 && std::exchange(writing_, false)) to_.set_writer(nullptr);
        return Step::on;
    }

    Relay& relay_;
    RelayEnd from_failed_;
    Stream& from_;
    Stream& to_;
    SpliceEnd* from_pipe_;
    SpliceEnd* to_pipe_;
    OnReadable on_readable_;
    OnWritable on_writable_;
    std::string first_;
    std::unique_ptr<char[]> buffer_;
    Pipe pipe_;
    std::size_t begin_ = 0;    // of what is pending in the buffer
    std::size_t pending_ = 0;  // bytes read and not yet written
    std::uint64_t moved_ = 0;
    bool splicing_ = false;
    bool in_buffer_ = false;  // splicing, but what is pending was read before
    bool finished_ = false;   // `from` has ended
    bool reading_ = false;
    bool writing_ = false;
    bool ended_ = false;
};

Relay::Relay(Stream& a, Stream& b, const RelayConfig& config)
    : loop_(a.loop()),
      config_(config),
      moved_at_(loop_.now()),
      done_(loop_),
      check_(*this),
      forth_(std::make_unique<Half>(*this, a, b, RelayEnd::a_failed)),
      back_(std::make_unique<Half>(*this, b, a, RelayEnd::b_failed)) {}

Relay::~Relay() = default;

void Relay::put_back(std::string of_a, std::string of_b) {
    forth_->put_back(std::move(of_a));
    back_->put_back(std::move(of_b));
}

Task<RelayEnd> Relay::run() {
    moved_at_ = loop_.now();
    check_time();
    forth_->start();
    back_->start();
    co_await done_.wait(kNever);
    co_return why_;
}

std::uint64_t Relay::a_to_b() const noexcept {
    return forth_->moved();
}

std::uint64_t Relay::b_to_a() const noexcept {
    return back_->moved();
}

void Relay::note_progress() noexcept {
    moved_at_ = loop_.now();
}

// One timer, armed again when it fires: pieces only note when they moved.
void Relay::check_time() {
    const Instant now = loop_.now();
    if (now >= config_.deadline) return end(RelayEnd::deadline);
    const Instant idle_at = moved_at_ + config_.idle_timeout;
    if (now >= idle_at) return end(RelayEnd::idle);
    loop_.timers().arm(check_, std::min(idle_at, config_.deadline));
}

void Relay::half_ended() {
    if (forth_->is_ended() && back_->is_ended()) end(RelayEnd::finished);
}

void Relay::end(RelayEnd why) {
    if (done_.is_set()) return;
    why_ = why;
    forth_->stop();
    back_->stop();
    check_.cancel();
    done_.set();
}

void sweep_relay_buffers() {
    shelf.buffers.sweep();
    shelf.pipes.sweep();
}

}  // namespace datapunk::mesh::io
