#include <benchmark/benchmark.h>

#include <string>

#include "wire/http1/body_decoder.h"
#include "wire/http1/encode.h"

namespace datapunk::mesh::wire::http1 {
namespace {

// One body of 64 KiB in chunks of range(0) bytes.
void DecodeChunked(benchmark::State& state) {
    constexpr std::size_t kBodyBytes = 64UL * 1024;
    const auto chunk = static_cast<std::size_t>(state.range(0));
    std::string body;
    for (std::size_t sent = 0; sent < kBodyBytes; sent += chunk) {
        append_chunk_head(body, chunk);
        body.append(chunk, 'x');
        body += kChunkEnd;
    }
    body += kLastChunk;
    BodyDecoder decoder;
    for (auto _ : state) {
        decoder.reset(Framing::chunked, 0);
        std::string_view rest = body;
        for (;;) {
            const BodyDecoder::Step step = decoder.decode(rest);
            rest.remove_prefix(step.consumed);
            benchmark::DoNotOptimize(step.payload.data());
            if (step.state != BodyDecoder::State::more) break;
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kBodyBytes));
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBodyBytes / chunk));
}
BENCHMARK(DecodeChunked)->Arg(16)->Arg(1024)->Arg(16384);

}  // namespace
}  // namespace datapunk::mesh::wire::http1
