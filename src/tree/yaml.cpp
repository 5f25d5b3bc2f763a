#include "tree/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>

namespace datapunk::mesh::tree {

namespace {

// Builds the Tree from yaml-cpp's events: no YAML::Node is made, so nothing is expanded or merged
// behind our back.
class Builder : public YAML::EventHandler {
  public:
    Builder(std::shared_ptr<const std::string> source, std::vector<Problem>& problems)
        : source_(std::move(source)), problems_(problems) {}

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (documents_++ > 0) stop(mark, "a second document begins here: one file is one document");
    }

    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        refuse_anchor(mark, anchor);
        place_value(mark, Tree::of(Tree::Kind::null));
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
        complain(mark, "aliases (*name) are not supported: write the value out");
        place_value(mark, Tree::of(Tree::Kind::null));
    }

    void OnScalar(
        const YAML::Mark& mark,
        const std::string& tag,
        YAML::anchor_t anchor,
        const std::string& value
    ) override {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        place_value(mark, Tree::of_text(value));
    }

    void OnSequenceStart(
        const YAML::Mark& mark,
        const std::string& tag,
        YAML::anchor_t anchor,
        YAML::EmitterStyle::value /*style*/
    ) override {
        begin(mark, tag, anchor, Tree::Kind::list);
    }

    void OnSequenceEnd() override { end(); }

    void OnMapStart(
        const YAML::Mark& mark,
        const std::string& tag,
        YAML::anchor_t anchor,
        YAML::EmitterStyle::value /*style*/
    ) override {
        begin(mark, tag, anchor, Tree::Kind::map);
    }

    void OnMapEnd() override { end(); }

    bool stopped() const { return stopped_; }

    Tree take() { return std::move(root_); }

  private:
    // A map, list or key being read. Children are moved into their parent when they end.
    struct Open {
        Tree tree;
        std::string key;
        Place key_place;
        bool has_key = false;
    };

    Place at(const YAML::Mark& mark) const {
        return {.source = source_, .line = mark.line + 1, .column = mark.column + 1};
    }

    void complain(const YAML::Mark& mark, std::string text) {
        if (!stopped_) problems_.push_back(problem_at(at(mark), "", std::move(text)));
    }

    void stop(const YAML::Mark& mark, std::string text) {
        complain(mark, std::move(text));
        stopped_ = true;
    }

    void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != 0) complain(mark, "anchors (&name) are not supported: write the value out");
    }

    // "?" is a plain scalar and "!" a quoted one: yaml-cpp's marks, not the author's.
    void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        if (tag.empty() || tag == "?" || tag == "!") return;
        complain(mark, fmt::format("tags are not supported: remove \"{}\"", tag.substr(0, 64)));
    }

    void begin(
        const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Tree::Kind kind
    ) {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        if (open_.size() >= kDepthMax)
            stop(mark, fmt::format("nested more than {} deep", kDepthMax));
        if (stopped_) return;
        if (wants_key()) stop(mark, "a key must be text");
        if (!stopped_ && count(mark)) {
            Tree tree = Tree::of(kind);
            tree.place = at(mark);
            open_.push_back({.tree = std::move(tree), .key = {}, .key_place = {}});
        }
    }

    void end() {
        if (stopped_) return;
        Tree done = std::move(open_.back().tree);
        open_.pop_back();
        attach(std::move(done));
    }

    bool wants_key() const {
        return !open_.empty() && open_.back().tree.kind == Tree::Kind::map && !open_.back().has_key;
    }

    bool count(const YAML::Mark& mark) {
        if (++nodes_ > kNodesMax) stop(mark, fmt::format("more than {} values", kNodesMax));
        return !stopped_;
    }

    void place_value(const YAML::Mark& mark, Tree value) {
        if (stopped_ || !count(mark)) return;
        value.place = at(mark);
        if (!wants_key()) return attach(std::move(value));
        Open& map = open_.back();
        if (value.kind != Tree::Kind::scalar) return stop(mark, "a key must be text");
        map.key = std::move(value.text);
        map.key_place = at(mark);
        map.has_key = true;
    }

    void attach(Tree value) {
        if (open_.empty()) {
            root_ = std::move(value);
            return;
        }
        Open& parent = open_.back();
        if (parent.tree.kind == Tree::Kind::list) {
            parent.tree.list.push_back(std::move(value));
            return;
        }
        parent.has_key = false;
        for (const Tree::Entry& entry : parent.tree.map) {
            if (entry.key != parent.key) continue;
            problems_.push_back(problem_at(
                parent.key_place,
                "",
                fmt::format(
                    "\"{}\" is here twice: first on line {}",
                    parent.key.substr(0, 64),
                    entry.place.line
                )
            ));
            return;
        }
        if (parent.tree.map.size() >= kKeysMax) {
            problems_.push_back(problem_at(
                parent.key_place, "", fmt::format("a map of more than {} keys", kKeysMax)
            ));
            stopped_ = true;
            return;
        }
        parent.tree.map.push_back(
            {std::move(parent.key), std::move(value), std::move(parent.key_place)}
        );
    }

    std::shared_ptr<const std::string> source_;
    std::vector<Problem>& problems_;
    Tree root_;
    std::vector<Open> open_;
    std::size_t nodes_ = 0;
    int documents_ = 0;
    bool stopped_ = false;
};

// yaml-cpp takes the byte 0x04 for the end of the file and would ignore what follows.
bool refuse_control_characters(
    const std::shared_ptr<const std::string>& source,
    std::string_view text,
    std::vector<Problem>& problems
) {
    Place place{.source = source, .line = 1, .column = 1};
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7f) {
            problems.push_back(
                problem_at(place, "", fmt::format("control character 0x{:02x}", byte))
            );
            return false;
        }
        place.column = c == '\n' ? 1 : place.column + 1;
        place.line += c == '\n' ? 1 : 0;
    }
    return true;
}

}  // namespace

Tree parse_yaml(const std::string& name, std::string_view text, std::vector<Problem>& problems) {
    const auto source = std::make_shared<const std::string>(name);
    if (text.size() > kFileBytesMax) {
        problems.push_back(problem_at(
            {.source = source}, "", fmt::format("larger than {} MiB", kFileBytesMax >> 20U)
        ));
        return {};
    }
    if (!refuse_control_characters(source, text, problems)) return {};
    Builder builder(source, problems);
    try {  // yaml-cpp reports by exceptions: they end here
        std::istringstream in{std::string(text)};
        YAML::Parser parser(in);
        while (!builder.stopped() && parser.HandleNextDocument(builder)) {
        }
    } catch (const YAML::Exception& problem) {
        const Place place{
            .source = source, .line = problem.mark.line + 1, .column = problem.mark.column + 1
        };
        problems.push_back(problem_at(place, "", "not YAML: " + problem.msg));
        return {};
    }
    return builder.take();
}

}  // namespace datapunk::mesh::tree
