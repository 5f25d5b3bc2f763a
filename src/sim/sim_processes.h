#pragma once

// SimProcesses: children by script: what a program answers, and after how much virtual time. A
// program without a script does not exist.

#include <algorithm>
#include <csignal>
#include <map>
#include <string>
#include <vector>

#include "io/process.h"

namespace datapunk::mesh::sim {

class SimProcesses final : public io::Processes {
  public:
    explicit SimProcesses(io::Loop& loop) : loop_(loop) {}

    // `program` is arguments[0]. A later script replaces the earlier one.
    void script(std::string program, io::ProcessResult result, Duration takes = {}) {
        scripts_[std::move(program)] = {std::move(result), takes};
    }

    // Everything that was run, in order.
    const std::vector<io::ProcessSpec>& runs() const noexcept { return runs_; }

    io::Task<Result<io::ProcessResult>> run(io::ProcessSpec spec, Instant deadline) override {
        runs_.push_back(spec);
        const std::string program = spec.arguments.empty() ? "" : spec.arguments[0];
        const auto found = scripts_.find(program);
        if (found == scripts_.end()) {
            co_return Error{
                .code = Code::not_found, .what = "run " + program + ": No such file or directory"
            };
        }
        Script script = found->second;
        const Instant ends = loop_.now() + script.takes;
        co_await io::sleep_until(loop_, std::min(ends, deadline));
        if (ends > deadline) {
            script.result.timed_out = true;
            script.result.signal = SIGTERM;
        }
        for (std::string* text : {&script.result.output, &script.result.errors}) {
            if (text->size() <= spec.output_bytes_max) continue;
            text->resize(spec.output_bytes_max);
            script.result.is_cut = true;
        }
        co_return script.result;
    }

  private:
    struct Script {
        io::ProcessResult result;
        Duration takes{};
    };

    io::Loop& loop_;
    std::map<std::string, Script> scripts_;
    std::vector<io::ProcessSpec> runs_;
};

}  // namespace datapunk::mesh::sim
