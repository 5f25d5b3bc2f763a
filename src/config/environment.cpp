#include "config/environment.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/strings.h"

namespace datapunk::mesh::config {

namespace {

constexpr std::string_view kPrefix = "MESH_";
constexpr std::size_t kIndexMax = 10'000;

std::vector<std::string> segments_of(std::string_view name) {
    std::vector<std::string> segments;
    for (;;) {
        const std::size_t at = name.find("__");
        segments.push_back(core::lowercase(name.substr(0, at)));
        if (at == std::string_view::npos) return segments;
        name.remove_prefix(at + 2);
    }
}

// A key as the environment can spell it.
std::string spelling(std::string_view key) {
    std::string out = core::lowercase(key);
    std::replace(out.begin(), out.end(), '-', '_');
    return out;
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - ('a' - 'A'));
    }
    return out;
}

class Variable {
  public:
    Variable(const std::string& name, const std::string& value, std::vector<Problem>& problems)
        : value_(value),
          problems_(problems),
          segments_(segments_of(std::string_view(name).substr(kPrefix.size()))) {
        place_.source = std::make_shared<const std::string>("env " + name);
    }

    void set(Tree& root, const Table& table) {
        if (segments_.size() > kDepthMax) return fail("", "nested too deep");
        into_table(root, table, 0, "");
    }

  private:
    void fail(std::string path, std::string text, std::string hint = {}) {
        problems_.push_back(problem_at(place_, std::move(path), std::move(text), std::move(hint)));
    }

    // A node that was absent, null or of another kind becomes an empty one of this kind.
    void make(Tree& node, Tree::Kind kind) const {
        if (node.kind == kind) return;
        node = Tree::of(kind);
        node.place = place_;
    }

    void into(Tree& node, const Shape& shape, std::size_t depth, const std::string& path) {
        switch (shape.kind) {
            case Shape::Kind::table:
                return into_table(node, shape.table(), depth, path);
            case Shape::Kind::map:
                return into_map(node, *shape.element, depth, path);
            case Shape::Kind::list:
                return into_list(node, *shape.element, depth, path);
            default:
                break;
        }
        if (depth < segments_.size()) return fail(path, "is a plain value: nothing is below it");
        node = Tree::of_text(value_);
        node.place = place_;
    }

    void into_table(Tree& node, const Table& table, std::size_t depth, const std::string& path) {
        if (depth == segments_.size())
            return fail(path, "is a group of settings: set one of its keys");
        const FieldSpec* field = table.find(segments_[depth]);
        if (field == nullptr) return unknown(table, depth, path);
        make(node, Tree::Kind::map);
        into(
            child(node, std::string(field->key)),
            field->shape,
            depth + 1,
            join_path(path, field->key)
        );
    }

    void unknown(const Table& table, std::size_t depth, const std::string& path) {
        std::vector<std::string_view> keys;
        for (const FieldSpec& field : table.fields) keys.push_back(field.key);
        std::string hint;
        if (const auto close = core::did_you_mean(segments_[depth], keys)) {
            hint = fmt::format("did you mean {}", kPrefix);
            for (std::size_t i = 0; i < segments_.size(); ++i) {
                if (i > 0) hint += "__";
                hint += upper(i == depth ? *close : std::string_view(segments_[i]));
            }
            hint += '?';
        }
        fail(join_path(path, segments_[depth]), "unknown key", std::move(hint));
    }

    void into_map(Tree& node, const Shape& element, std::size_t depth, const std::string& path) {
        if (depth == segments_.size()) return fail(path, "is a map: name one of its keys");
        if (segments_[depth].empty()) return fail(path, "the key is empty");
        make(node, Tree::Kind::map);
        std::string key = segments_[depth];
        std::size_t matches = 0;
        for (const Tree::Entry& entry : node.map) {
            if (spelling(entry.key) != segments_[depth]) continue;
            key = entry.key;
            ++matches;
        }
        if (matches > 1)
            return fail(join_path(path, segments_[depth]), "several keys are spelt like this");
        into(child(node, key), element, depth + 1, join_path(path, key));
    }

    void into_list(Tree& node, const Shape& element, std::size_t depth, const std::string& path) {
        const bool plain = element.kind != Shape::Kind::table &&
                           element.kind != Shape::Kind::list && element.kind != Shape::Kind::map;
        if (depth == segments_.size()) {
            if (!plain) return fail(path, "is a list of groups: name an index, such as __0__");
            return replace_list(node);
        }
        const auto index = core::parse_number<std::size_t>(segments_[depth]);
        make(node, Tree::Kind::list);
        if (!index || *index > node.list.size() || *index >= kIndexMax) {
            return fail(
                path,
                fmt::format(
                    "\"{}\" is not an index from 0 to {}", segments_[depth], node.list.size()
                )
            );
        }
        if (*index == node.list.size()) {
            node.list.emplace_back();
            node.list.back().place = place_;
        }
        into(node.list[*index], element, depth + 1, join_path(path, *index));
    }

    void replace_list(Tree& node) {
        node = Tree::of(Tree::Kind::list);
        node.place = place_;
        if (value_.empty()) return;
        for (const std::string_view part : core::split(value_, ',')) {
            node.list.push_back(Tree::of_text(std::string(core::trim(part))));
            node.list.back().place = place_;
        }
    }

    Tree& child(Tree& node, const std::string& key) const {
        if (Tree* found = node.find(key)) return *found;
        Tree fresh;
        fresh.place = place_;
        return node.add(key, std::move(fresh));
    }

    const std::string& value_;
    std::vector<Problem>& problems_;
    std::vector<std::string> segments_;
    Place place_;
};

}  // namespace

void overlay_environment(
    Tree& tree, const Table& root, const Environment& environment, std::vector<Problem>& problems
) {
    for (const auto& [name, value] : environment) {
        if (!name.starts_with(kPrefix)) continue;
        if (std::find(std::begin(kForeignVariables), std::end(kForeignVariables), name) !=
            std::end(kForeignVariables))
            continue;
        Variable(name, value, problems).set(tree, root);
    }
}

}  // namespace datapunk::mesh::config
