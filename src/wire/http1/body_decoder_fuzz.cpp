// The decoder gives the same body however its bytes are split, and never passes what it was given.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/http1/body_decoder.h"

namespace {

using namespace datapunk::mesh::wire::http1;
using State = BodyDecoder::State;

void require(bool holds) {
    if (!holds) std::abort();
}

struct Outcome {
    std::string payload;
    std::size_t consumed = 0;
    State state = State::more;
    Reject why = Reject::none;
    std::size_t trailers = 0;

    friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(Framing framing, std::uint64_t length, std::string_view bytes, std::size_t step) {
    BodyDecoder decoder;
    decoder.reset(framing, length, {.fields_max = 4, .trailer_bytes_max = 64});
    Outcome out;
    for (std::size_t at = 0; at < bytes.size() && out.state == State::more; at += step) {
        std::string_view piece = bytes.substr(at, step);
        while (!piece.empty() && out.state == State::more) {
            const BodyDecoder::Step result = decoder.decode(piece);
            require(result.consumed <= piece.size());
            require(result.consumed > 0 || result.state != State::more);
            if (!result.payload.empty())
                require(
                    result.payload.data() >= piece.data() &&
                    result.payload.data() + result.payload.size() <= piece.data() + result.consumed
                );
            out.payload += result.payload;
            out.consumed += result.consumed;
            out.state = result.state;
            out.why = result.why;
            piece.remove_prefix(result.consumed);
        }
    }
    require(decoder.is_done() == (out.state == State::done) || bytes.empty());
    const bool ends_well = out.state == State::done || framing == Framing::until_close;
    if (!bytes.empty()) require((decoder.eof().state == State::done) == ends_well);
    out.trailers = decoder.trailers().size();
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    const auto framing = static_cast<Framing>(data[0] % 8 < 3 ? data[0] % 8 + 1 : 2);
    const std::uint64_t length = data[1];
    const std::size_t step = static_cast<std::size_t>(data[0] / 8) + 1;
    const Outcome whole = run(framing, length, bytes, bytes.size() + 1);
    require(whole == run(framing, length, bytes, step));
    require(whole == run(framing, length, bytes, 1));
    return 0;
}
