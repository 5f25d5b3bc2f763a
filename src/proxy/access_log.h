#pragma once

// AccessLog: one line for each request, or for a sample of them; those that failed or were slow
// always. Written by a LineWriter, so that no worker ever waits for a disk.
//
//   failed (no whole answer, or 5xx)  ──► logged, sample=1
//   took at least `slow`              ──► logged, sample=1
//   any other                         ──► logged with the probability `sample`, which the line
//   says:
//                                         1/sample requests stand behind it
//
// Threads: the rules and the file are the control loop's to change while workers write.

#include <datapunk/mesh/time.h>

#include <atomic>
#include <initializer_list>
#include <memory>
#include <string>

#include "core/log.h"
#include "core/rng.h"
#include "io/line_writer.h"

namespace datapunk::mesh::proxy {

struct AccessLogRules {
    double sample = 1;  // 0..1
    Duration slow{};    // zero: no request is slow
};

class AccessLog {
  public:
    // One worker's.
    class Worker {
      public:
        Worker(AccessLog& log, io::LineWriter::Source& lines) : log_(log), lines_(lines) {}

        // The share of such requests that are logged, of which this is one; 0: it is not.
        double share_of(bool failed, Duration took, core::Rng& rng) const noexcept;
        void write(WallTime now, const core::LogRecord& record);

      private:
        AccessLog& log_;
        io::LineWriter::Source& lines_;
        std::string line_;
    };

    AccessLog(std::unique_ptr<io::LineWriter> lines, core::LogFormat format);

    void set_rules(const AccessLogRules& rules) noexcept;
    std::unique_ptr<Worker> add_worker();

    io::LineWriter& lines() noexcept { return *lines_; }

  private:
    const std::unique_ptr<io::LineWriter> lines_;
    const core::LogFormat format_;
    std::atomic<double> sample_{1};
    std::atomic<Duration> slow_{Duration::zero()};
};

}  // namespace datapunk::mesh::proxy
