// TCP: whether it connects, and whether it says what it should.

#include <fmt/format.h>

#include "probe/connection.h"

namespace datapunk::mesh::probe {

namespace {

// Of what a service says before the expected text: a greeting, not a download.
constexpr std::size_t kReadBytesMax = 64UL * 1024;

io::Task<Result<>> talk(io::Stream& stream, ProbeDefinition definition, Instant deadline) {
    if (!definition.send.empty()) {
        auto written = co_await stream.write(io::Slices(definition.send), deadline);
        if (!written) co_return std::move(written).error();
    }
    if (definition.expect.empty()) co_return Ok{};
    std::string heard;
    std::string buffer(4096, '\0');
    while (heard.find(definition.expect) == std::string::npos) {
        auto got = co_await stream.read(buffer, deadline);
        if (!got || *got == 0 || heard.size() + *got > kReadBytesMax) {
            const std::string why = !got        ? got.error().what
                                    : *got == 0 ? "it closed"
                                                : "it goes on and on";
            co_return Error{
                .code = Code::invalid,
                .what = fmt::format(
                    "the expected text has not come: {} Output: {}", why, heard.substr(0, 1024)
                )
            };
        }
        heard.append(buffer, 0, *got);
    }
    co_return Ok{};
}

}  // namespace

io::Task<ProbeResult> probe_tcp(ProbeTools tools, ProbeDefinition definition, Instant deadline) {
    const std::string no_alpn;
    auto stream = co_await open_stream(
        tools, definition.host, definition.port, definition.tls, no_alpn, deadline
    );
    if (!stream) {
        co_return verdict(
            Health::critical,
            fmt::format("dial tcp {}: {}", definition.display, stream.error().what)
        );
    }
    auto said = co_await talk(**stream, definition, deadline);
    if (!said) {
        co_return verdict(
            Health::critical, fmt::format("TCP {}: {}", definition.display, said.error().what)
        );
    }
    co_return verdict(Health::passing, fmt::format("TCP connect {}: Success", definition.display));
}

}  // namespace datapunk::mesh::probe
