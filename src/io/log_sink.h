#pragma once

// The log's last step: lines to standard error or a file, with a UTC time. spdlog writes them.
//
//     time=2026-11-21T03:56:23.120Z level=info event="service registered" service=web
//     {"time":"2026-11-21T03:56:23.120Z","level":"info","event":"service registered",…}
//
// Any thread; lines keep the order of the calls. A write that fails (disk full) loses the line, not
// the program: the next line that gets through says how many were lost.

#include <datapunk/mesh/result.h>

#include <memory>
#include <string>

#include "core/log.h"

namespace datapunk::mesh::io {

struct LogConfig {
    core::LogFormat format = core::LogFormat::logfmt;
    std::string path;  // empty: standard error
};

class LineSink : public core::LogSink {
  public:
    // Opens the file again under its name, after a rotation moved it. If that fails the old one
    // stays. Standard error: nothing to do.
    virtual Result<> reopen() = 0;
};

Result<std::shared_ptr<LineSink>> open_log(const LogConfig& config);

}  // namespace datapunk::mesh::io
