// The same values come out however the bytes are split, and what is written back reads the same.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "wire/resp/reply_reader.h"

namespace {

using namespace datapunk::mesh::wire::resp;

constexpr ReplyLimits kLimits{
    .bytes_max = 4096, .items_max = 256, .depth_max = 8, .line_bytes_max = 512
};

void require(bool holds) {
    if (!holds) std::abort();
}

struct Outcome {
    std::vector<RespValue> values;
    bool failed = false;
};

Outcome run(std::string_view bytes, std::size_t step) {
    ReplyReader reader(kLimits);
    Outcome out;
    for (std::size_t at = 0; at < bytes.size() && !out.failed; at += step) {
        reader.feed(bytes.substr(at, step));
        while (reader.next()) out.values.push_back(reader.take());
        out.failed = reader.problem().has_value();
    }
    return out;
}

bool has_nan(const RespValue& value) {
    if (value.type == RespType::real && std::isnan(value.real)) return true;
    for (const RespValue& item : value.items) {
        if (has_nan(item)) return true;
    }
    return false;
}

bool equal(const std::vector<RespValue>& a, const std::vector<RespValue>& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!has_nan(a[i]) && a[i] != b[i]) return false;
    }
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const Outcome whole = run(bytes, bytes.size() + 1);
    for (const std::size_t step : {std::size_t{1}, std::size_t{data[0] % 16U} + 2}) {
        const Outcome split = run(bytes, step);
        require(split.failed == whole.failed && equal(split.values, whole.values));
    }
    std::string written;
    for (const RespValue& value : whole.values) append_value(written, value, true);
    ReplyReader again;
    again.feed(written);
    std::vector<RespValue> values;
    while (again.next()) values.push_back(again.take());
    require(!again.problem() && equal(values, whole.values));
    return 0;
}
