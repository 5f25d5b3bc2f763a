#include "tree/json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "tree/yaml.h"

namespace datapunk::mesh::tree {

namespace {

using Json = nlohmann::json;

// Builds the Tree from the parser's events.
class JsonBuilder final : public nlohmann::json_sax<Json> {
  public:
    JsonBuilder(std::shared_ptr<const std::string> source, std::vector<Problem>& problems)
        : source_(std::move(source)), problems_(problems) {}

    bool null() override { return place(Tree::of(Tree::Kind::null)); }

    bool boolean(bool value) override {
        return place(Tree::of_text(value ? "true" : "false", true));
    }

    bool number_integer(number_integer_t value) override {
        return place(Tree::of_text(std::to_string(value), true));
    }

    bool number_unsigned(number_unsigned_t value) override {
        return place(Tree::of_text(std::to_string(value), true));
    }

    bool number_float(number_float_t, const string_t& text) override {
        return place(Tree::of_text(text, true));
    }

    bool string(string_t& value) override { return place(Tree::of_text(std::move(value))); }

    bool binary(binary_t&) override { return stop("not text"); }

    bool start_object(std::size_t) override { return open(Tree::Kind::map); }

    bool start_array(std::size_t) override { return open(Tree::Kind::list); }

    bool end_object() override { return close(); }

    bool end_array() override { return close(); }

    bool key(string_t& name) override {
        Open& map = open_.back();
        if (map.tree.find(name) != nullptr) {
            return stop(fmt::format("\"{}\" is here twice", name.substr(0, 64)));
        }
        if (map.tree.map.size() >= kKeysMax) {
            return stop(fmt::format("a map of more than {} keys", kKeysMax));
        }
        map.key = std::move(name);
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const Json::exception& why) override {
        // "[json.exception.parse_error.101] parse error at line 3, column 7: …"
        std::string text = why.what();
        const std::size_t from = text.find("] ");
        if (from != std::string::npos) text.erase(0, from + 2);
        for (char& c : text) {
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
        }
        return stop("not JSON: " + text.substr(0, 300));
    }

    Tree take() { return std::move(root_); }

  private:
    // A map or list being read. Children are moved into their parent when they end.
    struct Open {
        Tree tree;
        std::string key;
    };

    bool stop(std::string text) {
        problems_.push_back(problem_at({.source = source_}, "", std::move(text)));
        return false;
    }

    bool count() {
        if (++nodes_ <= kNodesMax) return true;
        return stop(fmt::format("more than {} values", kNodesMax));
    }

    bool open(Tree::Kind kind) {
        if (open_.size() >= kDepthMax) {
            return stop(fmt::format("nested more than {} deep", kDepthMax));
        }
        if (!count()) return false;
        Tree tree = Tree::of(kind);
        tree.place.source = source_;
        open_.push_back({.tree = std::move(tree), .key = {}});
        return true;
    }

    bool close() {
        Tree done = std::move(open_.back().tree);
        open_.pop_back();
        attach(std::move(done));
        return true;
    }

    bool place(Tree value) {
        if (!count()) return false;
        value.place.source = source_;
        attach(std::move(value));
        return true;
    }

    void attach(Tree value) {
        if (open_.empty()) {
            root_ = std::move(value);
        } else if (open_.back().tree.kind == Tree::Kind::list) {
            open_.back().tree.list.push_back(std::move(value));
        } else {
            open_.back().tree.add(std::move(open_.back().key), std::move(value));
        }
    }

    std::shared_ptr<const std::string> source_;
    std::vector<Problem>& problems_;
    Tree root_;
    std::vector<Open> open_;
    std::size_t nodes_ = 0;
};

}  // namespace

Tree parse_json(const std::string& name, std::string_view text, std::vector<Problem>& problems) {
    const auto source = std::make_shared<const std::string>(name);
    if (text.size() > kFileBytesMax) {
        problems.push_back(problem_at(
            {.source = source}, "", fmt::format("larger than {} MiB", kFileBytesMax >> 20U)
        ));
        return {};
    }
    JsonBuilder builder(source, problems);
    if (!Json::sax_parse(text, &builder)) return {};
    return builder.take();
}

}  // namespace datapunk::mesh::tree
