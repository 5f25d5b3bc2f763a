#include "registry/embedded/backup.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "core/hash.h"
#include "core/strings.h"

namespace datapunk::mesh::registry::embedded {

namespace {

constexpr std::string_view kMagic = "dpmesh-snapshot 1\n";
constexpr std::size_t kSumBytes = 17;  // sixteen digits and a line end

std::string sum_of(std::string_view bytes) {
    return fmt::format("{:016x}\n", core::hash64(bytes, 0x736e6170));
}

Error unreadable(std::string_view why) {
    return {
        .code = Code::invalid,
        .what = fmt::format("not a snapshot of a dpmesh registry, or a damaged one: {}", why),
        .source = Source::downstream
    };
}

// Takes the line "name: value" off the front.
std::optional<std::string_view> take_line(std::string_view& rest, std::string_view name) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view line = rest.substr(0, end);
    if (!line.starts_with(name) || !line.substr(name.size()).starts_with(": ")) return std::nullopt;
    rest.remove_prefix(end + 1);
    return line.substr(name.size() + 2);
}

}  // namespace

std::string encode_backup(const catalog::Catalog& catalog, WallTime now) {
    std::size_t instances = 0;
    const auto nodes = catalog.nodes().data;
    for (const catalog::CatalogNode* node : nodes) instances += node->services.size();
    const std::string state = catalog.encode_state();
    std::string out(kMagic);
    out += fmt::format(
        "created: {}\nnode: {}\nindex: {}\nnodes: {}\nservices: {}\ninstances: {}\nkeys: {}\n"
        "sessions: {}\nbytes: {}\n\n",
        core::format_utc(now),
        catalog.local() == nullptr ? "" : catalog.local()->row.name,
        catalog.index(),
        nodes.size(),
        catalog.services().data.size(),
        instances,
        catalog.kv_list("").data.size(),
        catalog.sessions().data.size(),
        state.size()
    );
    out += state;
    out += sum_of(out);
    return out;
}

Result<Backup> decode_backup(std::string_view bytes) {
    if (!bytes.starts_with(kMagic)) return unreadable("it does not begin as one");
    if (bytes.size() < kMagic.size() + kSumBytes) return unreadable("it is cut short");
    const std::string_view body = bytes.substr(0, bytes.size() - kSumBytes);
    if (bytes.substr(body.size()) != sum_of(body)) return unreadable("its checksum is wrong");
    std::string_view rest = body.substr(kMagic.size());
    Backup backup;
    BackupHead& head = backup.head;
    const auto created = take_line(rest, "created");
    const auto node = take_line(rest, "node");
    if (!created || !node) return unreadable("its head is not complete");
    head.created = *created;
    head.node = *node;
    for (const auto& [name, number] :
         {std::pair{"index", &head.index},
          std::pair{"nodes", &head.nodes},
          std::pair{"services", &head.services},
          std::pair{"instances", &head.instances},
          std::pair{"keys", &head.keys},
          std::pair{"sessions", &head.sessions},
          std::pair{"bytes", &head.state_bytes}}) {
        const auto text = take_line(rest, name);
        const auto value = text ? core::parse_number<std::uint64_t>(*text) : std::nullopt;
        if (!value) return unreadable(fmt::format("its head has no good \"{}\"", name));
        *number = *value;
    }
    if (!rest.starts_with('\n')) return unreadable("its head does not end");
    rest.remove_prefix(1);
    if (rest.size() != head.state_bytes) return unreadable("its length is not what it says");
    // The checksum speaks for the bytes; that they are a state, only reading it tells.
    if (auto of = catalog::Catalog::node_of_state(rest); !of) return unreadable(of.error().what);
    backup.state = rest;
    return backup;
}

Result<catalog::Catalog> fold(store::StoredState state) {
    catalog::Catalog catalog;
    if (state.snapshot) {
        auto restored = catalog::Catalog::decode_state(state.snapshot->bytes);
        if (!restored) return std::move(restored).error();
        catalog = *std::move(restored);
    }
    for (const store::StoredEntry& entry : state.entries) {
        auto command = catalog::decode_command(entry.bytes);
        if (!command) return std::move(command).error();
        // What was refused when it was written is refused again.
        (void)catalog.apply(*std::move(command));
    }
    return catalog;
}

}  // namespace datapunk::mesh::registry::embedded
