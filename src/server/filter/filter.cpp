#include "server/filter/filter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/assert.h"
#include "core/strings.h"

namespace datapunk::mesh::server {

namespace {

constexpr std::int64_t kPatternMemory = std::int64_t{1} << 20;  // RE2's own default is 8 MiB

Error invalid(std::string what) {
    return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
}

// As errors name a selector: its parts with points between them.
std::string shown(const std::vector<std::string>& path, std::size_t count) {
    return fmt::format("{}", fmt::join(path.begin(), path.begin() + static_cast<long>(count), "."));
}

bool supports(FieldType type, MatchOperator op) {
    using enum MatchOperator;
    switch (type) {
        case FieldType::text:
            return op != is_empty && op != is_not_empty;
        case FieldType::boolean:
        case FieldType::integer:
            return op == equal || op == not_equal;
        case FieldType::texts:
        case FieldType::text_map:
        case FieldType::record_map:
            return op == in || op == not_in || op == is_empty || op == is_not_empty;
        case FieldType::records:
            return op == is_empty || op == is_not_empty;
        case FieldType::record:
            return false;
    }
    return false;
}

// strconv.ParseInt(text, 0, 64), but for digits grouped by "_".
std::optional<std::int64_t> parse_int(std::string_view text, bool& is_out_of_range) {
    const bool is_negative = text.starts_with('-');
    if (is_negative || text.starts_with('+')) text.remove_prefix(1);
    int base = 10;
    if (text.size() > 1 && text[0] == '0') {
        const char kind = core::to_lower(text[1]);
        base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
        text.remove_prefix(kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1);
    }
    std::uint64_t value = 0;
    const auto [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (end != text.data() + text.size() || text.empty()) return std::nullopt;
    const std::uint64_t most = std::uint64_t{1} << 63U;
    is_out_of_range =
        problem == std::errc::result_out_of_range || value > (is_negative ? most : most - 1);
    if (is_out_of_range) return std::nullopt;
    if (problem != std::errc()) return std::nullopt;
    return static_cast<std::int64_t>(is_negative ? std::uint64_t{0} - value : value);
}

std::optional<bool> parse_bool(std::string_view text) {
    for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
        if (text == yes) return true;
    }
    for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
        if (text == no) return false;
    }
    return std::nullopt;
}

// Go's words for what RE2 says in others.
std::string_view go_words(re2::RE2::ErrorCode code) {
    using RE2 = re2::RE2;
    switch (code) {
        case RE2::ErrorBadEscape:
            return "invalid escape sequence";
        case RE2::ErrorBadCharClass:
            return "invalid character class";
        case RE2::ErrorBadCharRange:
            return "invalid character class range";
        case RE2::ErrorMissingBracket:
            return "missing closing ]";
        case RE2::ErrorMissingParen:
            return "missing closing )";
        case RE2::ErrorUnexpectedParen:
            return "unexpected )";
        case RE2::ErrorTrailingBackslash:
            return "trailing backslash at end of expression";
        case RE2::ErrorRepeatArgument:
            return "missing argument to repetition operator";
        case RE2::ErrorRepeatSize:
            return "invalid repeat count";
        case RE2::ErrorRepeatOp:
            return "invalid nested repetition operator";
        case RE2::ErrorBadPerlOp:
            return "invalid or unsupported Perl syntax";
        case RE2::ErrorBadUTF8:
            return "invalid UTF-8";
        case RE2::ErrorBadNamedCapture:
            return "invalid named capture";
        case RE2::ErrorPatternTooLarge:
            return "expression too large";
        default:
            return "regexp/syntax: internal error";
    }
}

Result<std::shared_ptr<const re2::RE2>> compile_pattern(const std::string& text) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kPatternMemory);
    auto pattern = std::make_shared<const re2::RE2>(text, options);
    if (pattern->ok()) return pattern;
    return invalid(fmt::format(
        "Failed to compile regular expression \"{}\": error parsing regexp: {}: `{}`",
        text,
        go_words(pattern->error_code()),
        pattern->error_arg()
    ));
}

// "not in", "!=" and the like.
bool is_negated(MatchOperator op) {
    using enum MatchOperator;
    return op == not_equal || op == not_in || op == is_not_empty || op == not_matches;
}

// What a key that a map lacks answers. As go-bexpr 0.1.2: also "matches" holds.
bool holds_when_absent(MatchOperator op) {
    using enum MatchOperator;
    return op != equal && op != in && op != is_not_empty;
}

}  // namespace

Result<Filter> Filter::compile(std::string_view text, const FilterSchema& schema) {
    auto tree = parse_filter(text);
    if (!tree) return std::move(tree).error();
    Filter out;
    out.tree_ = *std::move(tree);
    out.matches_.resize(out.tree_.nodes.size());
    for (std::size_t i = 0; i < out.tree_.nodes.size(); ++i) {
        FilterNode& node = out.tree_.nodes[i];
        if (node.kind != FilterNode::Kind::match) continue;
        auto match = prepare(std::move(node.match), schema);
        if (!match) return std::move(match).error();
        out.matches_[i] = *std::move(match);
    }
    return out;
}

Result<Filter::Match> Filter::prepare(FilterMatch raw, const FilterSchema& schema) {
    const std::vector<std::string>& path = raw.selector;
    Match out;
    out.op = raw.op;
    const FilterSchema* inside = &schema;  // null: whatever follows is a key
    FieldType type = FieldType::record;
    bool is_map = false;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (is_map) {
            out.path.push_back({nullptr, path[i]});
            const FilterField* map = out.path[out.path.size() - 2].field;
            type = map->type == FieldType::text_map ? FieldType::text : FieldType::record;
            inside = map->inner;
            is_map = false;
            continue;
        }
        const FilterField* field = nullptr;
        if (inside != nullptr) {
            for (const FilterField& candidate : *inside) {
                if (candidate.name == path[i]) field = &candidate;
            }
        }
        if (field == nullptr) {
            return invalid(fmt::format("Selector \"{}\" is not valid", shown(path, i + 1)));
        }
        out.path.push_back({field, {}});
        type = field->type;
        inside = field->inner;
        is_map = type == FieldType::text_map || type == FieldType::record_map;
    }
    const std::string name = shown(path, path.size());
    if (!supports(type, raw.op)) {
        return invalid(fmt::format(
            "Invalid match operator \"{}\" for selector \"{}\"", to_string(raw.op), name
        ));
    }
    out.text = std::move(raw.value).value_or("");
    const auto cannot = [&](std::string_view function, std::string_view why) {
        return invalid(fmt::format(
            "Failed to coerce value \"{}\" for selector \"{}\": strconv.{}: parsing \"{}\": {}",
            out.text,
            name,
            function,
            out.text,
            why
        ));
    };
    if (type == FieldType::integer) {
        bool is_out_of_range = false;
        const auto number = parse_int(out.text, is_out_of_range);
        if (!number) {
            return cannot("ParseInt", is_out_of_range ? "value out of range" : "invalid syntax");
        }
        out.number = *number;
    } else if (type == FieldType::boolean) {
        const auto truth = parse_bool(out.text);
        if (!truth) return cannot("ParseBool", "invalid syntax");
        out.number = *truth ? 1 : 0;
    }
    if (raw.op == MatchOperator::matches || raw.op == MatchOperator::not_matches) {
        auto pattern = compile_pattern(out.text);
        if (!pattern) return std::move(pattern).error();
        out.pattern = *std::move(pattern);
    }
    return out;
}

bool Filter::matches(const void* row) const {
    return holds(tree_.nodes.back(), row);
}

bool Filter::holds(const FilterNode& node, const void* row) const {
    const auto child = [&](std::size_t i) { return holds(tree_.nodes[i], row); };
    switch (node.kind) {
        case FilterNode::Kind::match:
            return holds(matches_[static_cast<std::size_t>(&node - tree_.nodes.data())], 0, row);
        case FilterNode::Kind::negation:
            return !child(node.children.front());
        case FilterNode::Kind::all:
            return std::all_of(node.children.begin(), node.children.end(), child);
        case FilterNode::Kind::any:
            return std::any_of(node.children.begin(), node.children.end(), child);
    }
    return false;
}

bool Filter::holds(const Match& match, std::size_t step, const void* row) {
    const FilterField& field = *match.path[step].field;
    const bool is_last = step + 1 == match.path.size();
    const bool is_negative = is_negated(match.op);
    switch (field.type) {
        case FieldType::record:
            return holds(match, step + 1, row);
        case FieldType::records:
            if (is_last) return (field.size(row) == 0) != is_negative;
            return field.any(row, [&](const void* record) {
                return holds(match, step + 1, record);
            });
        case FieldType::record_map: {
            if (is_last) {
                const bool asks_size =
                    match.op == MatchOperator::is_empty || match.op == MatchOperator::is_not_empty;
                const bool is_so =
                    asks_size ? field.size(row) == 0 : field.at(row, match.text) != nullptr;
                return is_so != is_negative;
            }
            const void* record = field.at(row, match.path[step + 1].key);
            if (record == nullptr) return holds_when_absent(match.op);
            return holds(match, step + 2, record);
        }
        case FieldType::text_map: {
            const FieldValue value = field.get(row);
            if (is_last) return holds(match, value);
            const Metadata& map = *std::get<const Metadata*>(value);
            const auto found = map.find(match.path[step + 1].key);
            if (found == map.end()) return holds_when_absent(match.op);
            return holds(match, FieldValue(std::string_view(found->second)));
        }
        default:
            return holds(match, field.get(row));
    }
}

bool Filter::holds(const Match& match, const FieldValue& value) {
    struct IsSo {
        const Match& match;

        bool operator()(std::string_view text) const {
            if (match.pattern)
                return re2::RE2::PartialMatch({text.data(), text.size()}, *match.pattern);
            const bool is_part = match.op == MatchOperator::in || match.op == MatchOperator::not_in;
            return is_part ? text.find(match.text) != std::string_view::npos : text == match.text;
        }

        bool operator()(bool truth) const { return truth == (match.number != 0); }

        bool operator()(std::int64_t number) const { return number == match.number; }

        bool operator()(const std::vector<std::string>* texts) const {
            if (asks_size()) return texts->empty();
            return std::find(texts->begin(), texts->end(), match.text) != texts->end();
        }

        bool operator()(const Metadata* map) const {
            return asks_size() ? map->empty() : map->contains(match.text);
        }

        bool asks_size() const {
            return match.op == MatchOperator::is_empty || match.op == MatchOperator::is_not_empty;
        }
    };

    return std::visit(IsSo{match}, value) != is_negated(match.op);
}

}  // namespace datapunk::mesh::server
