#include <benchmark/benchmark.h>

#include <string>

#include "wire/http1/head_parser.h"

namespace datapunk::mesh::wire::http1 {
namespace {

// What a browser-like client sends: 8 fields, 319 bytes.
const std::string kRequest =
    "GET /api/v1/quotes/2026?symbol=ABC&depth=10 HTTP/1.1\r\n"
    "Host: api_service.mesh.local:8080\r\n"
    "User-Agent: datapunk-client/1.4 (linux; x86_64)\r\n"
    "Accept: application/json\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "X-Request-Id: 5f0c2d7e9ab14c0f\r\n"
    "Authorization: Bearer 0123456789abcdef\r\n"
    "Cache-Control: no-cache\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";

const std::string kResponse =
    "HTTP/1.1 200 OK\r\n"
    "Date: Sat, 21 Nov 2026 04:17:29 GMT\r\n"
    "Server: quotes/2.1\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 1024\r\n"
    "Cache-Control: no-store\r\n"
    "\r\n";

void ParseRequest(benchmark::State& state) {
    HeadParser parser;
    RequestHead head;
    for (auto _ : state) {
        benchmark::DoNotOptimize(parser.parse_request(kRequest, head));
        benchmark::DoNotOptimize(head.fields.data());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kRequest.size()));
}
BENCHMARK(ParseRequest);

void ParseResponse(benchmark::State& state) {
    HeadParser parser;
    ResponseHead head;
    for (auto _ : state) {
        benchmark::DoNotOptimize(parser.parse_response(kResponse, Method::get, head));
        benchmark::DoNotOptimize(head.fields.data());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kResponse.size()));
}
BENCHMARK(ParseResponse);

void ParseRequestByteByByte(benchmark::State& state) {
    HeadParser parser;
    RequestHead head;
    const std::string_view all = kRequest;
    for (auto _ : state) {
        for (std::size_t i = 1; i <= all.size(); ++i)
            benchmark::DoNotOptimize(parser.parse_request(all.substr(0, i), head));
    }
}
BENCHMARK(ParseRequestByteByByte);

void FindHeaderId(benchmark::State& state) {
    const std::string name = "X-Forwarded-For";
    for (auto _ : state) benchmark::DoNotOptimize(header_of(name));
}
BENCHMARK(FindHeaderId);

}  // namespace
}  // namespace datapunk::mesh::wire::http1
