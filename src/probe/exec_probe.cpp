// Exec: a program's exit status.

#include <fmt/format.h>

#include "probe/connection.h"

namespace datapunk::mesh::probe {

namespace {

// What a program finds in its environment: where programs are, and nothing of ours, which may hold
// secrets.
constexpr std::string_view kPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace

io::Task<ProbeResult> probe_exec(ProbeTools tools, ProbeDefinition definition, Instant deadline) {
    if (tools.processes == nullptr) {
        co_return verdict(Health::critical, "exec checks are not enabled here");
    }
    io::ProcessSpec spec;
    spec.arguments = definition.command;
    spec.environment = {std::string(kPath)};
    spec.inherits_environment = false;
    spec.output_bytes_max = kOutputBytesMax;
    auto done = co_await tools.processes->run(std::move(spec), deadline);
    if (!done) co_return verdict(Health::critical, done.error().what);
    std::string output = std::move(done->output);
    output += done->errors;
    if (done->timed_out) {
        co_return verdict(Health::critical, fmt::format("Timed out. Output: {}", output));
    }
    if (done->signal != 0) {
        co_return verdict(
            Health::critical, fmt::format("Ended by signal {}. Output: {}", done->signal, output)
        );
    }
    const Health status = done->exit_status == 0   ? Health::passing
                          : done->exit_status == 1 ? Health::warning
                                                   : Health::critical;
    co_return verdict(status, std::move(output));
}

}  // namespace datapunk::mesh::probe
