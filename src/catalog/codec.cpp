#include <fmt/format.h>

#include "catalog/command.h"
#include "catalog/fields.h"

namespace datapunk::mesh::catalog {

namespace {

Error unreadable(std::string what) {
    return {.code = Code::invalid, .what = "command record unreadable: " + std::move(what)};
}

template <std::size_t I = 0>
void decode_alternative(Decoder& in, std::size_t kind, Command& command) {
    if constexpr (I < std::variant_size_v<Command>) {
        if (kind == I) {
            in(command.emplace<I>());
        } else {
            decode_alternative<I + 1>(in, kind, command);
        }
    }
}

}  // namespace

std::string encode(const Command& command) {
    Encoder out;
    out(kFormatVersion);
    out(std::uint64_t{command.index()});
    std::visit([&](const auto& c) { out(c); }, command);
    return std::move(out).bytes();
}

Result<Command> decode_command(std::string_view bytes) {
    Decoder in(bytes);
    if (!in.read_version()) {
        return unreadable(
            fmt::format("version {}, this program knows 1 to {}", in.version(), kFormatVersion)
        );
    }
    std::uint64_t kind = 0;
    in(kind);
    if (kind >= std::variant_size_v<Command>) return unreadable(fmt::format("kind {}", kind));
    Command command;
    decode_alternative(in, kind, command);
    if (!in.ok()) return unreadable("it is cut short or damaged");
    if (!in.at_end()) return unreadable("bytes are left over");
    return command;
}

}  // namespace datapunk::mesh::catalog
