#pragma once

// Tree: what a file says before it has types. Scalars stay text until a typed reader takes them, so
// that `010` is not 8 and `yes` is not true; every node knows where it came from. Values. Made by
// parse_yaml() and parse_json(); read by the configuration and by the file registry.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tree/problem.h"

namespace datapunk::mesh::tree {

// Where a value came from.
struct Place {
    std::shared_ptr<const std::string> source;  // file name or "env MESH_…"; null = built in
    int line = 0;                               // from 1; 0 = no line
    int column = 0;

    bool is_default() const noexcept { return source == nullptr; }

    std::string text() const;  // "default", "mesh.yaml:3", "env MESH_ADMIN__PORT"
};

struct Tree {
    enum class Kind : std::uint8_t { null, scalar, list, map };
    struct Entry;

    Kind kind = Kind::null;
    std::string text;        // scalar
    bool is_bare = false;    // scalar: a number or truth value, written without quotes
    std::vector<Tree> list;  // list
    std::vector<Entry> map;  // map, in the order written
    Place place;

    const Tree* find(std::string_view key) const noexcept;
    Tree* find(std::string_view key) noexcept;
    Tree& add(std::string key, Tree value);

    static Tree of_text(std::string value, bool bare = false);
    static Tree of(Kind kind);
};

struct Tree::Entry {
    std::string key;
    Tree value;
    Place place;  // of the key
};

enum class MergeLists : std::uint8_t { replace, append };

// Lays `over` on `base`: maps key by key, scalars replaced, lists as told.
void merge(Tree& base, const Tree& over, MergeLists lists);

// The node at "listeners[0].port", or the deepest one on the way there.
const Tree& nearest(const Tree& root, std::string_view path) noexcept;

// A problem at a node.
Problem problem_at(const Place& place, std::string path, std::string text, std::string hint = {});

std::string_view to_string(Tree::Kind kind) noexcept;

}  // namespace datapunk::mesh::tree
