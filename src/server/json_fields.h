#pragma once

// JsonFields: reads one JSON object after another into C++ values and remembers the first problem,
// in the words of Go's encoding/json. For bodies.cpp and its like only: includes nlohmann.

#include <fmt/format.h>

#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/strings.h"

namespace datapunk::mesh::server {

class JsonFields {
  public:
    using Json = nlohmann::json;

    struct Field {
        std::string_view name;  // as Consul spells it; any case and a_b for AB match too
        std::function<void(const Json&)> read;
    };

    const std::optional<std::string>& problem() const noexcept { return problem_; }

    void fail(std::string problem) {
        if (!problem_) problem_ = std::move(problem);
    }

    // null reads as an object without fields.
    void object(const Json& json, std::string_view type, std::initializer_list<Field> fields) {
        if (json.is_null()) return;
        if (!json.is_object()) return mismatch(json, type);
        for (const auto& [key, value] : json.items()) {
            const Field* field = find(fields, key);
            if (field == nullptr) return fail(fmt::format("json: unknown field \"{}\"", key));
            field_ = field->name;
            if (!value.is_null()) field->read(value);
            if (problem_) return;
        }
    }

    Field text(std::string_view name, std::string& out) {
        return {name, [this, &out](const Json& json) {
                    if (!json.is_string()) return mismatch(json, "string");
                    out = json.get_ref<const std::string&>();
                }};
    }

    Field boolean(std::string_view name, bool& out) {
        return {name, [this, &out](const Json& json) {
                    if (!json.is_boolean()) return mismatch(json, "bool");
                    out = json.get<bool>();
                }};
    }

    template <class T>
    Field number(std::string_view name, T& out) {
        return {name, [this, &out](const Json& json) {
                    if (!json.is_number_integer()) return mismatch(json, "int");
                    const bool fits = json.is_number_unsigned() ? json.get<std::uint64_t>() <=
                                                                      std::numeric_limits<T>::max()
                                                                : json.get<std::int64_t>() >= 0;
                    if (!fits) return fail(fmt::format("json: {} is out of range", field_));
                    out = json.get<T>();
                }};
    }

    Field duration(std::string_view name, Duration& out) {
        return {name, [this, &out](const Json& json) {
                    if (json.is_number_integer()) {
                        out = Duration(json.get<std::int64_t>());
                        return;
                    }
                    if (!json.is_string()) return mismatch(json, "string");
                    const std::string& text = json.get_ref<const std::string&>();
                    if (text.empty()) return;
                    auto parsed = core::parse_duration(text);
                    if (!parsed) {
                        return fail(fmt::format("time: invalid duration \"{}\"", text.substr(0, 64))
                        );
                    }
                    out = *parsed;
                }};
    }

    Field texts(std::string_view name, std::vector<std::string>& out) {
        return {name, [this, &out](const Json& json) { read_texts(json, out); }};
    }

    Field text_map(std::string_view name, std::map<std::string, std::string, std::less<>>& out) {
        return {name, [this, &out](const Json& json) {
                    if (!json.is_object()) return mismatch(json, "map[string]string");
                    for (const auto& [key, value] : json.items()) {
                        if (!value.is_string()) return mismatch(value, "string");
                        out[key] = value.get_ref<const std::string&>();
                    }
                }};
    }

    Field texts_map(
        std::string_view name, std::map<std::string, std::vector<std::string>, std::less<>>& out
    ) {
        return {name, [this, &out](const Json& json) {
                    if (!json.is_object()) return mismatch(json, "map[string][]string");
                    for (const auto& [key, value] : json.items()) read_texts(value, out[key]);
                }};
    }

    // Accepted and not looked at: what only matters to parts of Consul that we do not have.
    static Field ignored(std::string_view name) {
        return {name, [](const Json&) {}};
    }

    // Accepted while it says nothing ("", false, 0, {}, []); else refused in plain words.
    Field unsupported(std::string_view name) {
        return {name, [this, name](const Json& json) {
                    const bool is_empty =
                        (json.is_string() && json.get_ref<const std::string&>().empty()) ||
                        (json.is_structured() && json.empty()) ||
                        (json.is_boolean() && !json.get<bool>()) ||
                        (json.is_number() && json.get<double>() == 0);
                    if (!is_empty) fail(fmt::format("{} is not supported by this registry", name));
                }};
    }

    void mismatch(const Json& json, std::string_view type) {
        std::string_view is = "object";
        if (json.is_array()) is = "array";
        if (json.is_string()) is = "string";
        if (json.is_number()) is = "number";
        if (json.is_boolean()) is = "bool";
        fail(fmt::format(
            "json: cannot unmarshal {} into Go struct field .Alias.{} of type {}", is, field_, type
        ));
    }

  private:
    static const Field* find(std::initializer_list<Field> fields, const std::string& key) {
        for (const Field& field : fields) {
            if (core::equals_ignoring_case(field.name, key)) return &field;
        }
        if (key.find('_') == std::string::npos) return nullptr;
        std::string joined = key;
        std::erase(joined, '_');
        for (const Field& field : fields) {
            if (core::equals_ignoring_case(field.name, joined)) return &field;
        }
        return nullptr;
    }

    void read_texts(const Json& json, std::vector<std::string>& out) {
        if (json.is_null()) return;
        if (!json.is_array()) return mismatch(json, "[]string");
        for (const Json& item : json) {
            if (!item.is_string()) return mismatch(item, "string");
            out.push_back(item.get_ref<const std::string&>());
        }
    }

    std::string_view field_;
    std::optional<std::string> problem_;
};

}  // namespace datapunk::mesh::server
