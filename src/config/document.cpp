#include "config/document.h"

#include <fmt/format.h>

#include <iterator>
#include <set>

#include "config/environment.h"
#include "config/json_text.h"
#include "config/schema.h"
#include "config/tables.h"

namespace datapunk::mesh::config {

namespace {

constexpr std::string_view kIntroduction =
    R"(# Configuration

Made from the tables in `src/config/`; do not edit. `dpmesh config schema` prints the same as a JSON
schema for editors.

* One YAML file, a directory of `*.yaml` (merged in name order: maps key by key, lists appended, a
  plain value of a later file wins) or standard input (`-`).
* Strict: unknown and repeated keys, anchors, aliases and tags are errors, and all problems are told
  at once. A number is decimal digits (`010` is refused), a truth value is `true` or `false`, a
  duration has a unit (`250ms`, `10s`, `1m30s`).
* Every key can be set in the environment: `MESH_` and the key in capitals, nesting by `__`, list
  items by index, lists of plain values by comma. `MESH_ADMIN__PORT=19001`,
  `MESH_LISTENERS__0__PORT=8080`, `MESH_SERVICES__API_SERVICE__POLICY__RETRY__ATTEMPTS=2`,
  `MESH_ROUTES__0__HOSTS=a.example,b.example`. `_` also stands for `-` in the names of services. A
  `MESH_` variable that matches nothing is an error, except {}.
* Precedence of a key: default, then files, then environment. A service's own `policy` stands before
  `defaults.policy`, field by field.
* Secrets may be written as `${{env:NAME}}` or `${{file:/path}}`; they are never shown.
)";

// One value on one line.
std::string inline_text(const Tree& tree) {
    if (tree.kind == Tree::Kind::null) return "none";
    if (tree.kind == Tree::Kind::map) return "{}";
    if (tree.kind != Tree::Kind::list) return tree.text;
    std::string out = "[";
    for (std::size_t i = 0; i < tree.list.size(); ++i) {
        if (i > 0) out += ", ";
        out += inline_text(tree.list[i]);
    }
    return out + "]";
}

std::string type_text(const Shape& shape) {
    switch (shape.kind) {
        case Shape::Kind::text:
            return "text";
        case Shape::Kind::integer:
            return "integer";
        case Shape::Kind::number:
            return "number";
        case Shape::Kind::boolean:
            return "true, false";
        case Shape::Kind::duration:
            return "duration";
        case Shape::Kind::choice:
            return fmt::format("{}", fmt::join(shape.choices, ", "));
        case Shape::Kind::secret:
            return "secret";
        case Shape::Kind::list:
            return "list of " + type_text(*shape.element);
        case Shape::Kind::map:
            return "map of " + type_text(*shape.element);
        case Shape::Kind::table:
            return fmt::format("[{0}](#{0})", shape.table().name);
    }
    return "";
}

// The table that a shape leads to, through lists and maps.
const Table* table_below(const Shape& shape) {
    if (shape.kind == Shape::Kind::table) return &shape.table();
    return shape.element == nullptr ? nullptr : table_below(*shape.element);
}

class Markdown {
  public:
    std::string write() {
        const auto& foreign = kForeignVariables;
        std::string names;
        for (const std::string_view name : foreign)
            names += fmt::format("{}`{}`", names.empty() ? "" : " and ", name);
        out_ = fmt::format(kIntroduction, names);
        section(config_table(), "");
        return std::move(out_);
    }

  private:
    void section(const Table& table, const std::string& path) {
        const auto out = std::back_inserter(out_);
        if (path.empty()) {
            out_ += "\n## Top level\n";
        } else {
            fmt::format_to(out, "\n## {}\n", path);
        }
        fmt::format_to(out, "\n{}\n", table.what);
        out_ += "\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n";
        const Tree defaults = write_table(table, table.make().get());
        for (const FieldSpec& field : table.fields) row(field, *defaults.find(field.key), path);
        for (const FieldSpec& field : table.fields) {
            const Table* below = table_below(field.shape);
            if (below != nullptr && seen_.insert(below).second)
                section(*below, path_below(field, path));
        }
    }

    // services.NAME.policy, listeners[].limits
    static std::string path_below(const FieldSpec& field, const std::string& path) {
        std::string below = join_path(path, field.key);
        if (field.shape.kind == Shape::Kind::list) below += "[]";
        if (field.shape.kind == Shape::Kind::map) below += ".NAME";
        return below;
    }

    void row(const FieldSpec& field, const Tree& value, const std::string& path) {
        const Table* below = table_below(field.shape);
        std::string type = below == nullptr ? type_text(field.shape) : "group";
        if (field.shape.kind == Shape::Kind::list && below != nullptr) type = "list of groups";
        if (field.shape.kind == Shape::Kind::map && below != nullptr) type = "map of groups";
        std::string shown = below == nullptr ? "`" + inline_text(value) + "`" : "";
        if (below == nullptr && inline_text(value).empty()) shown = "empty";
        if (field.limits.is_required) shown = "**required**";
        fmt::format_to(
            std::back_inserter(out_),
            "| `{}` | {} | {} | {} | {} |\n",
            field.key,
            type,
            shown,
            limits_text(field.limits, field.shape.kind),
            below == nullptr ? std::string(field.what) : group_text(field, *below, path)
        );
    }

    std::string group_text(const FieldSpec& field, const Table& below, const std::string& path)
        const {
        if (seen_.contains(&below)) return fmt::format("{} As above.", field.what);
        return fmt::format("{} See {}.", field.what, path_below(field, path));
    }

    std::string out_;
    std::set<const Table*> seen_;
};

class Schema {
  public:
    std::string write() {
        const std::string root = object(config_table(), 0);
        return fmt::format(
            "{{\n\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
            "\"title\": \"Datapunk Mesh configuration\",\n{}\n}}\n",
            std::string_view(root).substr(1, root.size() - 2)
        );
    }

  private:
    static std::string object(const Table& table, std::size_t depth) {
        std::string properties;
        std::string required;
        const Tree defaults = write_table(table, table.make().get());
        for (const FieldSpec& field : table.fields) {
            if (!properties.empty()) properties += ",\n";
            properties += fmt::format(
                "{}{}: {}",
                std::string(depth * 2, ' '),
                quoted_json(field.key),
                member(field, *defaults.find(field.key), depth + 1)
            );
            if (!field.limits.is_required) continue;
            if (!required.empty()) required += ", ";
            required += quoted_json(field.key);
        }
        const std::string needs =
            required.empty() ? "" : fmt::format(", \"required\": [{}]", required);
        return fmt::format(
            "{{\"type\": \"object\", \"additionalProperties\": false{}, \"properties\": {{\n{}}}}}",
            needs,
            properties
        );
    }

    static std::string member(const FieldSpec& field, const Tree& value, std::size_t depth) {
        std::string text = type(field.shape, field.limits, depth);
        text.pop_back();  // the brace: more members follow
        text += fmt::format(", \"description\": {}", quoted_json(field.what));
        const bool simple = table_below(field.shape) == nullptr && !field.limits.is_required;
        if (simple && value.kind == Tree::Kind::scalar)
            text += ", \"default\": " + (value.is_bare ? value.text : quoted_json(value.text));
        return text + "}";
    }

    static std::string bounds(const ValueRange& limits) {
        std::string text;
        if (limits.min)
            text += fmt::format(
                ", \"{}\": {}", limits.is_open ? "exclusiveMinimum" : "minimum", *limits.min
            );
        if (limits.max) text += fmt::format(", \"maximum\": {}", *limits.max);
        return text;
    }

    static std::string type(const Shape& shape, const ValueRange& limits, std::size_t depth) {
        switch (shape.kind) {
            case Shape::Kind::text:
            case Shape::Kind::secret:
                return R"({"type": "string"})";
            case Shape::Kind::integer:
                return fmt::format("{{\"type\": \"integer\"{}}}", bounds(limits));
            case Shape::Kind::number:
                return fmt::format("{{\"type\": \"number\"{}}}", bounds(limits));
            case Shape::Kind::boolean:
                return R"({"type": "boolean"})";
            case Shape::Kind::duration:
                return R"({"type": ["string", "integer"], "pattern": "^(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$", "maximum": 0, "minimum": 0})";
            case Shape::Kind::choice: {
                std::string names;
                for (const auto& choice : shape.choices)
                    names += (names.empty() ? "" : ", ") + quoted_json(choice);
                return fmt::format("{{\"enum\": [{}]}}", names);
            }
            case Shape::Kind::list:
                return fmt::format(
                    "{{\"type\": [\"array\", \"null\"], \"items\": {}}}",
                    type(*shape.element, limits, depth)
                );
            case Shape::Kind::map:
                return fmt::format(
                    "{{\"type\": [\"object\", \"null\"], \"additionalProperties\": {}}}",
                    type(*shape.element, limits, depth)
                );
            case Shape::Kind::table:
                return object(shape.table(), depth);
        }
        return "{}";
    }
};

}  // namespace

std::string generate_markdown() {
    return Markdown().write();
}

std::string generate_schema() {
    return Schema().write();
}

}  // namespace datapunk::mesh::config
