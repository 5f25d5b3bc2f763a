#include "config/schema.h"

#include <fmt/format.h>

#include <algorithm>

namespace datapunk::mesh::config {

namespace {

std::string bound_text(double bound, Shape::Kind kind) {
    if (kind == Shape::Kind::duration)
        return core::format_duration(Duration(static_cast<std::int64_t>(bound)));
    return fmt::format("{}", bound);
}

}  // namespace

std::string limits_text(const ValueRange& limits, Shape::Kind kind) {
    const std::string min = limits.min ? bound_text(*limits.min, kind) : "";
    const std::string max = limits.max ? bound_text(*limits.max, kind) : "";
    if (limits.is_open) return fmt::format("above {}, at most {}", min, max);
    if (limits.min && limits.max) return fmt::format("{}..{}", min, max);
    if (limits.min) return fmt::format("at least {}", min);
    return "";
}

const FieldSpec* Table::find(std::string_view key) const noexcept {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const FieldSpec& field) {
        return field.key == key;
    });
    return found == fields.end() ? nullptr : &*found;
}

void read_table(
    const Table& table, void* object, const Tree& tree, const std::string& path, Reader& reader
) {
    if (tree.kind != Tree::Kind::map && tree.kind != Tree::Kind::null) {
        reader.fail(
            tree, path, fmt::format("must be a map of settings, not {}", to_string(tree.kind))
        );
        return;
    }
    for (const Tree::Entry& entry : tree.map) {
        const FieldSpec* field = table.find(entry.key);
        const std::string at = join_path(path, entry.key);
        if (field != nullptr) {
            field->read(object, entry.value, at, reader);
            continue;
        }
        std::vector<std::string_view> known;
        for (const FieldSpec& one : table.fields) known.push_back(one.key);
        reader.problems.push_back(
            problem_at(entry.place, at, "unknown key", suggestion(entry.key, known))
        );
    }
    for (const FieldSpec& field : table.fields) {
        if (field.limits.is_required && tree.find(field.key) == nullptr)
            reader.fail(tree, join_path(path, field.key), "is required");
    }
}

Tree write_table(const Table& table, const void* object) {
    Tree tree = Tree::of(Tree::Kind::map);
    for (const FieldSpec& field : table.fields)
        tree.add(std::string(field.key), field.write(object));
    return tree;
}

std::string join_path(std::string_view path, std::string_view key) {
    return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

std::string join_path(std::string_view path, std::size_t index) {
    return fmt::format("{}[{}]", path, index);
}

std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates) {
    const auto close = core::did_you_mean(word, candidates);
    return close ? fmt::format("did you mean \"{}\"?", *close) : std::string();
}

}  // namespace datapunk::mesh::config
