#include "config/effective.h"

#include <fmt/format.h>

#include <iterator>

#include "config/json_text.h"
#include "config/tables.h"
#include "core/assert.h"

namespace datapunk::mesh::config {

namespace {

void take_places(Tree& full, const Tree& written) {
    full.place = written.place;
    for (Tree::Entry& entry : full.map) {
        if (const Tree* same = written.find(entry.key)) take_places(entry.value, *same);
    }
    for (std::size_t i = 0; i < full.list.size() && i < written.list.size(); ++i) {
        take_places(full.list[i], written.list[i]);
    }
}

// A value with its key or dash still to be ended, as YAML in block style.
class YamlWriter {
  public:
    std::string write(const Tree& tree) {
        entries(tree, 0);
        return std::move(out_);
    }

  private:
    void indent(std::size_t depth) { out_.append(depth * 2, ' '); }

    void entries(const Tree& tree, std::size_t depth) {
        for (const Tree::Entry& entry : tree.map) {
            indent(depth);
            pair(entry, depth);
        }
    }

    void pair(const Tree::Entry& entry, std::size_t depth) {
        const bool plain =
            entry.key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos &&
            !entry.key.empty();
        out_ += plain ? entry.key : quoted_json(entry.key);
        out_ += ':';
        value(entry.value, depth);
    }

    void value(const Tree& tree, std::size_t depth) {
        if (tree.kind == Tree::Kind::map && !tree.map.empty()) {
            out_ += '\n';
            entries(tree, depth + 1);
        } else if (tree.kind == Tree::Kind::list && !tree.list.empty()) {
            out_ += '\n';
            for (const Tree& item : tree.list) element(item, depth + 1);
        } else {
            inline_value(tree);
        }
    }

    void inline_value(const Tree& tree) {
        std::string text = tree.is_bare ? tree.text : quoted_json(tree.text);
        if (tree.kind == Tree::Kind::map) text = "{}";
        if (tree.kind == Tree::Kind::list) text = "[]";
        if (tree.kind == Tree::Kind::null) text = "null";
        fmt::format_to(std::back_inserter(out_), " {}  # {}\n", text, one_line(tree.place.text()));
    }

    // A file's name may hold anything; a comment ends with its line.
    static std::string one_line(std::string text) {
        for (char& c : text) {
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
        }
        return text;
    }

    void element(const Tree& item, std::size_t depth) {
        indent(depth);
        out_ += '-';
        if (item.kind != Tree::Kind::map || item.map.empty()) return value(item, depth);
        out_ += ' ';
        pair(item.map.front(), depth + 1);
        for (std::size_t i = 1; i < item.map.size(); ++i) {
            indent(depth + 1);
            pair(item.map[i], depth + 1);
        }
    }

    std::string out_;
};

void json_value(std::string& out, const Tree& tree) {
    if (tree.kind == Tree::Kind::map) {
        out += '{';
        for (std::size_t i = 0; i < tree.map.size(); ++i) {
            if (i > 0) out += ',';
            out += quoted_json(tree.map[i].key);
            out += ':';
            json_value(out, tree.map[i].value);
        }
        out += '}';
    } else if (tree.kind == Tree::Kind::list) {
        out += '[';
        for (std::size_t i = 0; i < tree.list.size(); ++i) {
            if (i > 0) out += ',';
            json_value(out, tree.list[i]);
        }
        out += ']';
    } else if (tree.kind == Tree::Kind::null) {
        out += "null";
    } else {
        out += tree.is_bare ? tree.text : quoted_json(tree.text);
    }
}

void json_origins(std::string& out, const Tree& tree, const std::string& path) {
    for (const Tree::Entry& entry : tree.map)
        json_origins(out, entry.value, join_path(path, entry.key));
    for (std::size_t i = 0; i < tree.list.size(); ++i)
        json_origins(out, tree.list[i], join_path(path, i));
    if (!tree.map.empty() || !tree.list.empty()) return;
    if (out.back() != '{') out += ',';
    out += quoted_json(path);
    out += ':';
    out += quoted_json(tree.place.text());
}

}  // namespace

std::string quoted_json(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7f) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
        } else {
            out += c;
        }
    }
    return out + '"';
}

Tree effective(const Loaded& loaded) {
    MESH_ASSERT(loaded.config.has_value());
    Tree full = write_table(config_table(), &*loaded.config);
    take_places(full, loaded.tree);
    return full;
}

std::string to_yaml(const Tree& tree) {
    return YamlWriter().write(tree);
}

std::string to_json(const Tree& tree) {
    std::string out = R"({"config":)";
    json_value(out, tree);
    out += R"(,"origins":{)";
    json_origins(out, tree, "");
    return out + "}}";
}

}  // namespace datapunk::mesh::config
