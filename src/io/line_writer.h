#pragma once

// LineWriter: lines of many threads into one file, without any of them ever waiting for the disk.
//
//   thread ── write ──► its Source: at most bytes_max ──┐ swapped, every `delay` or when half full
//   thread ── write ──► its Source ─────────────────────┴─► writer thread ──► file, whole lines
//
// What does not fit is dropped and counted: a disk that is slow or full costs lines, never a call.
// The order of one source's lines is kept. Lines are written whole, with one write(2) of many.
//
// Threads: a Source is one thread's at a time; the rest from any. write(): a copy of the line under
// a lock that the writer thread holds for a swap; nothing is allocated once the buffers have grown.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "io/owned_fd.h"

namespace datapunk::mesh::io {

struct LineWriterConfig {
    std::string path;                   // empty: standard error
    std::size_t bytes_max = 1UL << 20;  // waiting, of each source
    Duration delay = std::chrono::milliseconds(100);
    Duration stop_time = std::chrono::seconds(1);  // at the end, for a reader that does not read
};

class LineWriter {
  public:
    class Source {
      public:
        // A whole line, without its end.
        void write(std::string_view line);

      private:
        friend class LineWriter;
        explicit Source(LineWriter& owner) : owner_(owner) {}

        LineWriter& owner_;
        std::mutex mutex_;
        std::string waiting_;
    };

    static Result<std::unique_ptr<LineWriter>> open(const LineWriterConfig& config);
    ~LineWriter();  // writes what waits
    LineWriter(const LineWriter&) = delete;
    LineWriter& operator=(const LineWriter&) = delete;

    // Lives as long as this.
    Source& add_source();

    // The file under its name anew, after a rotation moved it. After an error the old one stays.
    Result<> reopen();

    std::uint64_t written() const noexcept { return written_.load(std::memory_order_relaxed); }

    // For want of room, or because writing failed.
    std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

  private:
    using File = std::shared_ptr<const OwnedFd>;  // kept open while it is written to

    static Result<File> open_file(const std::string& path);
    LineWriter(const LineWriterConfig& config, File file);

    void run();
    void write_all();
    bool write_out(int fd, std::string_view lines);
    void hurry() noexcept;

    const LineWriterConfig config_;
    std::mutex mutex_;  // of what follows, up to the thread
    std::condition_variable changed_;
    std::vector<std::unique_ptr<Source>> sources_;
    File file_;
    bool is_hurried_ = false;
    bool is_stopping_ = false;
    std::string taken_;  // the writer thread's
    std::atomic<bool> asked_to_hurry_{false};
    std::atomic<std::uint64_t> written_{0};
    std::atomic<std::uint64_t> dropped_{0};
    std::thread thread_;  // last
};

}  // namespace datapunk::mesh::io
