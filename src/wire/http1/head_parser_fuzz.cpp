// The verdict on a head does not depend on where its bytes are split, and no view leaves the
// buffer.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "wire/http1/head_parser.h"

namespace {

using namespace datapunk::mesh::wire::http1;
using State = ParseResult::State;

// One limit that random bytes can reach.
constexpr Limits kLimits{.head_bytes_max = 512, .fields_max = 8, .target_bytes_max = 64};

void require(bool holds) {
    if (!holds) std::abort();
}

ParseResult parse(HeadParser& parser, std::string_view bytes, RequestHead& head) {
    return parser.parse_request(bytes, head);
}

ParseResult parse(HeadParser& parser, std::string_view bytes, ResponseHead& head) {
    return parser.parse_response(bytes, Method::get, head);
}

void require_same(const Head& a, const Head& b) {
    require(a.fields.size() == b.fields.size() && a.framing == b.framing);
    require(a.content_length == b.content_length && a.has_content_length == b.has_content_length);
    require(a.keep_alive == b.keep_alive && a.upgrade == b.upgrade);
    for (std::size_t i = 0; i < a.fields.size(); ++i) {
        require(a.fields[i].name == b.fields[i].name && a.fields[i].value == b.fields[i].value);
        require(a.fields[i].id == b.fields[i].id && !a.fields[i].name.empty());
        for (const char c : a.fields[i].value) require(c != '\r' && c != '\n' && c != '\0');
    }
}

template <class HeadType>
void check(std::string_view bytes, std::size_t step) {
    HeadParser whole(kLimits);
    HeadType expected;
    const ParseResult verdict = parse(whole, bytes, expected);
    HeadParser parser(kLimits);
    HeadType head;
    ParseResult result;
    std::unique_ptr<char[]> buffer;
    for (std::size_t size = step; result.state == State::incomplete; size += step) {
        const std::size_t now = size < bytes.size() ? size : bytes.size();
        auto moved = std::make_unique<char[]>(now + 1);
        std::memcpy(moved.get(), bytes.data(), now);
        result = parse(parser, {moved.get(), now}, head);
        if (buffer) std::memset(buffer.get(), 'Z', 1);
        buffer = std::move(moved);
        if (now == bytes.size()) break;
    }
    require(result.state == verdict.state && result.why == verdict.why);
    require(result.head_bytes == verdict.head_bytes && verdict.head_bytes <= bytes.size());
    if (verdict.state != State::done) return;
    require_same(expected, head);
    if constexpr (std::is_same_v<HeadType, RequestHead>) {
        require(expected.target == head.target && expected.path == head.path);
        require(expected.host == head.host && expected.method_text == head.method_text);
        require(expected.minor_version == 0 || !expected.host.empty());
    } else {
        require(expected.status == head.status && expected.reason == head.reason);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::size_t step = static_cast<std::size_t>(data[0] % 32) + 1;
    check<RequestHead>(bytes, step);
    check<ResponseHead>(bytes, step);
    return 0;
}
