// A server that says anything at all, in pieces: no crash, no endless work, every limit kept.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/http2/client_exchange.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::wire::http2;
    if (size == 0) return 0;
    const std::size_t piece = data[0] + 1U;
    std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    const ExchangeLimits limits{
        .fields_bytes_max = 512, .body_bytes_max = 512, .traffic_bytes_max = 4096
    };
    ClientExchange exchange(limits);
    const auto started = exchange.start(
        {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}, "body"
    );
    if (!started) std::abort();
    if (exchange.take_output().empty()) std::abort();
    while (!rest.empty() && !exchange.is_done()) {
        const auto fed = exchange.feed(rest.substr(0, piece));
        if (!fed) break;
        rest.remove_prefix(std::min(piece, rest.size()));
        (void)exchange.take_output();
    }
    if (exchange.answer().body.size() > limits.body_bytes_max) std::abort();
    return 0;
}
