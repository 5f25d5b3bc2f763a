#pragma once

// Codecs: how a field of each C++ type is read from a Tree, written to one, and described. Used by
// tables.cpp only. A struct is read by its own table; an enum by its list of names.

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"
#include "config/schema.h"

namespace datapunk::mesh::config {

struct ReadSpot {
    const Tree& tree;
    const std::string& path;
    const ValueRange& limits;
    Reader& reader;
};

// Scalars. Each says what it wants when it cannot be read.
bool read_text(std::string& to, const ReadSpot& spot);
bool read_boolean(bool& to, const ReadSpot& spot);
bool read_integer(std::uint64_t& to, std::uint64_t type_max, const ReadSpot& spot);
bool read_number(double& to, const ReadSpot& spot);
bool read_duration(Duration& to, const ReadSpot& spot);
bool read_secret(Secret& to, const ReadSpot& spot);
bool read_host_port(NetworkAddress& to, const ReadSpot& spot);
bool read_choice(std::size_t& to, const std::vector<std::string>& choices, const ReadSpot& spot);
// False, and a problem, unless the node is a list (or nothing: an empty one).
bool expect(Tree::Kind kind, const ReadSpot& spot);

std::string number_text(double value);

template <class E>
using EnumNames = std::vector<std::pair<E, std::string>>;

template <class E>
const EnumNames<E>& names_of();

template <class S>
const Table& table_of();

template <class E>
std::vector<std::string> choices_of() {
    std::vector<std::string> choices;
    for (const auto& [value, name] : names_of<E>()) choices.push_back(name);
    return choices;
}

template <class T>
struct Codec {  // a struct with a table
    static Shape shape() { return {.kind = Shape::Kind::table, .table = &table_of<T>}; }

    static void read(T& to, const ReadSpot& spot) {
        read_table(table_of<T>(), &to, spot.tree, spot.path, spot.reader);
    }

    static Tree write(const T& from) { return write_table(table_of<T>(), &from); }
};

template <class E>
    requires std::is_enum_v<E>
struct Codec<E> {
    static Shape shape() { return {.kind = Shape::Kind::choice, .choices = choices_of<E>()}; }

    static void read(E& to, const ReadSpot& spot) {
        std::size_t index = 0;
        if (read_choice(index, choices_of<E>(), spot)) to = names_of<E>()[index].first;
    }

    static Tree write(E from) {
        for (const auto& [value, name] : names_of<E>()) {
            if (value == from) return Tree::of_text(name);
        }
        return Tree::of_text("");
    }
};

template <std::unsigned_integral N>
    requires(!std::same_as<N, bool>)
struct Codec<N> {
    static Shape shape() { return {.kind = Shape::Kind::integer}; }

    static void read(N& to, const ReadSpot& spot) {
        std::uint64_t value = 0;
        if (read_integer(value, std::numeric_limits<N>::max(), spot)) to = static_cast<N>(value);
    }

    static Tree write(N from) { return Tree::of_text(std::to_string(from), true); }
};

template <>
struct Codec<bool> {
    static Shape shape() { return {.kind = Shape::Kind::boolean}; }

    static void read(bool& to, const ReadSpot& spot) { read_boolean(to, spot); }

    static Tree write(bool from) { return Tree::of_text(from ? "true" : "false", true); }
};

template <>
struct Codec<double> {
    static Shape shape() { return {.kind = Shape::Kind::number}; }

    static void read(double& to, const ReadSpot& spot) { read_number(to, spot); }

    static Tree write(double from) { return Tree::of_text(number_text(from), true); }
};

template <>
struct Codec<Duration> {
    static Shape shape() { return {.kind = Shape::Kind::duration}; }

    static void read(Duration& to, const ReadSpot& spot) { read_duration(to, spot); }

    static Tree write(Duration from) { return Tree::of_text(core::format_duration(from)); }
};

template <>
struct Codec<std::string> {
    static Shape shape() { return {.kind = Shape::Kind::text}; }

    static void read(std::string& to, const ReadSpot& spot) { read_text(to, spot); }

    static Tree write(const std::string& from) { return Tree::of_text(from); }
};

template <>
struct Codec<Secret> {
    static Shape shape() { return {.kind = Shape::Kind::secret}; }

    static void read(Secret& to, const ReadSpot& spot) { read_secret(to, spot); }

    static Tree write(const Secret& from) {
        return Tree::of_text(from.empty() ? std::string() : std::string(kRedacted));
    }
};

template <>
struct Codec<NetworkAddress> {
    static Shape shape() { return {.kind = Shape::Kind::text}; }

    static void read(NetworkAddress& to, const ReadSpot& spot) { read_host_port(to, spot); }

    static Tree write(const NetworkAddress& from) { return Tree::of_text(host_port_text(from)); }
};

// What may be left out, or written as null.
template <class T>
struct Codec<std::optional<T>> {
    static Shape shape() { return Codec<T>::shape(); }

    static void read(std::optional<T>& to, const ReadSpot& spot) {
        to.reset();
        if (spot.tree.kind != Tree::Kind::null) Codec<T>::read(to.emplace(), spot);
    }

    static Tree write(const std::optional<T>& from) {
        return from ? Codec<T>::write(*from) : Tree::of(Tree::Kind::null);
    }
};

template <class T>
struct Codec<std::vector<T>> {
    static Shape shape() {
        return {
            .kind = Shape::Kind::list,
            .choices = {},
            .element = std::make_shared<const Shape>(Codec<T>::shape())
        };
    }

    static void read(std::vector<T>& to, const ReadSpot& spot) {
        if (!expect(Tree::Kind::list, spot)) return;
        to.clear();
        for (std::size_t i = 0; i < spot.tree.list.size(); ++i) {
            const std::string path = join_path(spot.path, i);
            T item{};
            Codec<T>::read(item, {spot.tree.list[i], path, spot.limits, spot.reader});
            to.push_back(std::move(item));
        }
    }

    static Tree write(const std::vector<T>& from) {
        Tree tree = Tree::of(Tree::Kind::list);
        for (const T& item : from) tree.list.push_back(Codec<T>::write(item));
        return tree;
    }
};

template <class T, class... Rest>
struct Codec<std::map<std::string, T, Rest...>> {
    static Shape shape() {
        return {
            .kind = Shape::Kind::map,
            .choices = {},
            .element = std::make_shared<const Shape>(Codec<T>::shape())
        };
    }

    static void read(std::map<std::string, T, Rest...>& to, const ReadSpot& spot) {
        if (!expect(Tree::Kind::map, spot)) return;
        to.clear();
        for (const Tree::Entry& entry : spot.tree.map) {
            const std::string path = join_path(spot.path, entry.key);
            T item{};
            Codec<T>::read(item, {entry.value, path, spot.limits, spot.reader});
            to.emplace(entry.key, std::move(item));
        }
    }

    static Tree write(const std::map<std::string, T, Rest...>& from) {
        Tree tree = Tree::of(Tree::Kind::map);
        for (const auto& [key, item] : from) tree.add(key, Codec<T>::write(item));
        return tree;
    }
};

// Builds a Table, a line a field.
template <class S>
class TableOf {
  public:
    TableOf(std::string_view name, std::string_view what) {
        table_.name = name;
        table_.what = what;
        table_.make = [] { return std::make_shared<S>(); };
    }

    template <class M>
    TableOf& field(
        std::string_view key, M S::* member, std::string_view what, const ValueRange& limits = {}
    ) {
        FieldSpec field{
            .key = key,
            .what = what,
            .shape = Codec<M>::shape(),
            .limits = limits,
            .read = {},
            .write = {}
        };
        field.read = [member, limits](
                         void* object, const Tree& tree, const std::string& path, Reader& reader
                     ) {
            Codec<M>::read(static_cast<S*>(object)->*member, {tree, path, limits, reader});
        };
        field.write = [member](const void* object) {
            return Codec<M>::write(static_cast<const S*>(object)->*member);
        };
        table_.fields.push_back(std::move(field));
        return *this;
    }

    // A text of a public struct that is a secret all the same: read and shown as one.
    TableOf& secret(std::string_view key, std::string S::* member, std::string_view what) {
        FieldSpec field{
            .key = key,
            .what = what,
            .shape = Codec<Secret>::shape(),
            .limits = {},
            .read = {},
            .write = {}
        };
        field.read =
            [member](void* object, const Tree& tree, const std::string& path, Reader& reader) {
                Secret text;
                const ValueRange anything;
                Codec<Secret>::read(text, {tree, path, anything, reader});
                if (!text.empty()) static_cast<S*>(object)->*member = text.reveal();
            };
        field.write = [member](const void* object) {
            return Codec<Secret>::write(Secret(static_cast<const S*>(object)->*member));
        };
        table_.fields.push_back(std::move(field));
        return *this;
    }

    Table table() const { return table_; }

  private:
    Table table_;
};

}  // namespace datapunk::mesh::config
