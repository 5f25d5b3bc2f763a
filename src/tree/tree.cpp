#include "tree/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"

namespace datapunk::mesh::tree {

std::string Place::text() const {
    if (is_default()) return "default";
    return line > 0 ? fmt::format("{}:{}", *source, line) : *source;
}

const Tree* Tree::find(std::string_view key) const noexcept {
    const auto found =
        std::find_if(map.begin(), map.end(), [&](const Entry& entry) { return entry.key == key; });
    return found == map.end() ? nullptr : &found->value;
}

Tree* Tree::find(std::string_view key) noexcept {
    return const_cast<Tree*>(std::as_const(*this).find(key));
}

Tree& Tree::add(std::string key, Tree value) {
    const Place where = value.place;
    map.push_back({std::move(key), std::move(value), where});
    return map.back().value;
}

Tree Tree::of_text(std::string value, bool bare) {
    Tree tree;
    tree.kind = Kind::scalar;
    tree.text = std::move(value);
    tree.is_bare = bare;
    return tree;
}

Tree Tree::of(Kind kind) {
    Tree tree;
    tree.kind = kind;
    return tree;
}

void merge(Tree& base, const Tree& over, MergeLists lists) {
    if (over.kind == Tree::Kind::null && base.kind != Tree::Kind::scalar) return;
    if (base.kind == Tree::Kind::list && over.kind == Tree::Kind::list &&
        lists == MergeLists::append) {
        base.list.insert(base.list.end(), over.list.begin(), over.list.end());
        return;
    }
    if (base.kind != Tree::Kind::map || over.kind != Tree::Kind::map) {
        base = over;
        return;
    }
    for (const Tree::Entry& entry : over.map) {
        Tree* mine = base.find(entry.key);
        if (mine != nullptr) {
            merge(*mine, entry.value, lists);
        } else {
            base.map.push_back(entry);
        }
    }
}

const Tree& nearest(const Tree& root, std::string_view path) noexcept {
    const Tree* at = &root;
    while (!path.empty()) {
        const Tree* next = nullptr;
        if (path.front() == '[') {
            const std::size_t end = std::min(path.find(']'), path.size() - 1);
            const auto index = core::parse_number<std::size_t>(path.substr(1, end - 1));
            if (index && *index < at->list.size()) next = &at->list[*index];
            path.remove_prefix(end + 1);
        } else {
            const std::size_t end = std::min(path.find_first_of(".["), path.size());
            next = at->find(path.substr(0, end));
            path.remove_prefix(end);
        }
        if (!path.empty() && path.front() == '.') path.remove_prefix(1);
        if (next == nullptr) break;
        at = next;
    }
    return *at;
}

Problem problem_at(const Place& place, std::string path, std::string text, std::string hint) {
    return {
        .file = place.source == nullptr ? std::string() : *place.source,
        .line = place.line,
        .column = place.column,
        .path = std::move(path),
        .text = std::move(text),
        .hint = std::move(hint),
    };
}

std::string_view to_string(Tree::Kind kind) noexcept {
    switch (kind) {
        case Tree::Kind::null:
            return "nothing";
        case Tree::Kind::scalar:
            return "a value";
        case Tree::Kind::list:
            return "a list";
        case Tree::Kind::map:
            return "a map";
    }
    return "?";
}

}  // namespace datapunk::mesh::tree
