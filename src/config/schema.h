#pragma once

// Tables: the description of every config struct, one line a field. Reading, writing,
// docs/config.md and the JSON schema all come from the same tables, so they cannot disagree.
//
//     TableOf<AdminSection>("admin")
//         .field("port", &AdminSection::port, "Port of the admin API.", between(0, 65535))
//
// A field's type decides how it is read (codecs.h); its default is the struct's own.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/tree.h"
#include "core/strings.h"

namespace datapunk::mesh::config {

struct Table;

// What a value is, for the documents and for finding an environment variable's place.
struct Shape {
    enum class Kind : std::uint8_t {
        text,
        integer,
        number,
        boolean,
        duration,
        choice,
        secret,
        list,
        map,
        table
    };

    Kind kind = Kind::text;
    std::vector<std::string> choices;      // choice
    std::shared_ptr<const Shape> element;  // list, map
    const Table& (*table)() = nullptr;     // table
};

// What a value may be. Durations count in nanoseconds.
struct ValueRange {
    std::optional<double> min;
    std::optional<double> max;
    bool is_open = false;  // min itself is not allowed
    bool is_required = false;

    ValueRange required() const {
        ValueRange copy = *this;
        copy.is_required = true;
        return copy;
    }
};

constexpr double in_limits(Duration duration) {
    return static_cast<double>(duration.count());
}

constexpr double in_limits(double number) {
    return number;
}

template <class A, class B>
ValueRange between(A min, B max) {
    return {.min = in_limits(min), .max = in_limits(max)};
}

template <class A>
ValueRange at_least(A min) {
    return {.min = in_limits(min), .max = {}};
}

template <class A, class B>
ValueRange above(A min, B max) {
    return {.min = in_limits(min), .max = in_limits(max), .is_open = true};
}

// "1..64", "1ms..10m", "above 0, at most 1"; empty if everything is allowed.
std::string limits_text(const ValueRange& limits, Shape::Kind kind);

// Where secrets may be read from. Only load() has one.
struct SecretSources {
    const std::map<std::string, std::string, std::less<>>* environment = nullptr;
    std::function<Result<std::string>(const std::string& path)> read_file;
};

struct Reader {
    std::vector<Problem>& problems;
    const SecretSources& secrets;

    void fail(const Tree& at, std::string_view path, std::string text, std::string hint = {}) {
        problems.push_back(problem_at(at.place, std::string(path), std::move(text), std::move(hint))
        );
    }
};

struct FieldSpec {
    std::string_view key;
    std::string_view what;  // meaning, unit, and why the default is what it is
    Shape shape;
    ValueRange limits;
    std::function<void(void* object, const Tree&, const std::string& path, Reader&)> read;
    std::function<Tree(const void* object)> write;
};

struct Table {
    std::string_view name;
    std::string_view what;
    std::vector<FieldSpec> fields;
    std::function<std::shared_ptr<void>()> make;  // an object with every default

    const FieldSpec* find(std::string_view key) const noexcept;
};

// Fills `object` from a map; every unknown key, missing required key and bad value is a problem.
void read_table(
    const Table& table, void* object, const Tree& tree, const std::string& path, Reader& reader
);
Tree write_table(const Table& table, const void* object);

std::string join_path(std::string_view path, std::string_view key);
std::string join_path(std::string_view path, std::size_t index);

// "did you mean \"x\"?" or nothing.
std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace datapunk::mesh::config
