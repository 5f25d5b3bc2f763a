#include "server/filter/filter_syntax.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <set>
#include <utility>

#include "core/utf8.h"
#include "wire/hex.h"

namespace datapunk::mesh::server {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kBlankClass = R"([ \t\r\n])";  // as errors show it

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// What a literal of the grammar looks like in an error.
std::string quoted(std::string_view text) {
    return text == "\"" ? R"("\"")" : fmt::format("\"{}\"", text);
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<FilterTree> run() {
        std::optional<std::size_t> root = input();
        if (!problems_.empty()) return error(fmt::format("{}", fmt::join(problems_, "\n")));
        if (!root) return error(fmt::format("{}: {}", place(farthest_), expected_text()));
        return std::move(tree_);
    }

  private:
    using Node = std::optional<std::size_t>;

    static Error error(std::string what) {
        return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
    }

    // "line:column (offset)"; columns count runes, and a line break is column 0 of the next line.
    std::string place(std::size_t offset) const {
        std::size_t line = 1;
        std::size_t column = 0;
        for (std::size_t i = 0; i <= offset; ++i) {
            const bool continues =
                i < text_.size() && (static_cast<unsigned char>(text_[i]) & 0xC0U) == 0x80U;
            if (continues) continue;
            ++column;
            if (i < text_.size() && text_[i] == '\n') {
                ++line;
                column = 0;
            }
        }
        return fmt::format("{}:{} ({})", line, column, offset);
    }

    void wanted(std::string what) {
        if (at_ < farthest_) return;
        if (at_ > farthest_) expected_.clear();
        farthest_ = at_;
        expected_.insert(std::move(what));
    }

    std::string expected_text() {
        std::vector<std::string> items(expected_.begin(), expected_.end());
        if (expects_end_at_ == farthest_) items.emplace_back("EOF");
        std::string out = "no match found, expected: ";
        for (std::size_t i = 0; i < items.size(); ++i) {
            if (i > 0) out += i + 1 == items.size() ? " or " : ", ";
            out += items[i];
        }
        return out;
    }

    void problem(std::string_view rule, std::string_view what, std::size_t offset) {
        std::string text = fmt::format("{}: rule \"{}\": {}", place(offset), rule, what);
        for (const std::string& known : problems_) {
            if (known == text) return;
        }
        problems_.push_back(std::move(text));
    }

    // --- the matchers: false moves nothing

    bool literal(std::string_view word) {
        if (text_.substr(at_).starts_with(word)) {
            at_ += word.size();
            return true;
        }
        wanted(quoted(word));
        return false;
    }

    bool blanks() {
        const std::size_t start = at_;
        while (at_ < text_.size() && kBlanks.find(text_[at_]) != std::string_view::npos) ++at_;
        wanted(std::string(kBlankClass));
        return at_ > start;
    }

    bool end() {
        if (at_ == text_.size()) return true;
        if (at_ >= farthest_) {
            if (at_ > farthest_) expected_.clear();
            farthest_ = at_;
            expects_end_at_ = at_;
        }
        return false;
    }

    template <class Match>
    bool one(std::string_view shown, Match fits) {
        if (at_ < text_.size() && fits(text_[at_])) {
            ++at_;
            return true;
        }
        wanted(std::string(shown));
        return false;
    }

    template <class Try>
    auto attempt(Try attempt_it) {
        const std::size_t start = at_;
        auto result = attempt_it();
        if (!result) at_ = start;
        return result;
    }

    // --- the rules

    Node input() {
        // Consul's first alternative, the whole in parentheses, is a case of the second, but for
        // what it adds to an error, which the second adds as well.
        blanks();
        Node node = any_of();
        if (!node) return std::nullopt;
        blanks();
        if (!end()) return std::nullopt;
        return node;
    }

    // left { blank word blank right }, as one node.
    template <class Term>
    Node chain(std::string_view word, FilterNode::Kind kind, Term term) {
        Node first = term();
        if (!first) return std::nullopt;
        std::vector<std::size_t> terms = {*first};
        for (;;) {
            const Node next = attempt([&]() -> Node {
                if (!blanks() || !literal(word) || !blanks()) return std::nullopt;
                return term();
            });
            if (!next) break;
            terms.push_back(*next);
        }
        if (terms.size() == 1) return first;
        return add({.kind = kind, .match = {}, .children = std::move(terms)});
    }

    Node any_of() {
        return chain("or", FilterNode::Kind::any, [this] { return all_of(); });
    }

    Node all_of() {
        return chain("and", FilterNode::Kind::all, [this] { return negation(); });
    }

    Node negation() {
        if (!problems_.empty()) return std::nullopt;  // it has failed already
        if (depth_ >= kFilterDepthMax) {
            problem("grouping", "the expression is nested too deeply", at_);
            return std::nullopt;
        }
        ++depth_;
        Node node = attempt([&]() -> Node {
            if (!literal("not") || !blanks()) return std::nullopt;
            const Node operand = negation();
            if (!operand) return std::nullopt;
            return add({.kind = FilterNode::Kind::negation, .match = {}, .children = {*operand}});
        });
        if (!node) node = grouping();
        --depth_;
        return node;
    }

    Node grouping() {
        std::optional<std::size_t> unmatched_at;
        Node node = attempt([&]() -> Node {
            if (!literal("(")) return std::nullopt;
            blanks();
            const Node inner = any_of();
            if (!inner) return std::nullopt;
            blanks();
            if (literal(")")) return inner;
            unmatched_at = at_;
            return std::nullopt;
        });
        if (node) return node;
        node = match();
        if (!node && unmatched_at) problem("grouping", "Unmatched parentheses", *unmatched_at);
        return node;
    }

    Node match() {
        std::optional<FilterMatch> found = attempt([this] { return selector_first(); });
        if (!found) found = attempt([this] { return value_first(); });
        if (!found) return std::nullopt;
        return add({.kind = FilterNode::Kind::match, .match = *std::move(found), .children = {}});
    }

    struct Phrase {
        MatchOperator op;
        std::array<std::string_view, 3> words;  // each with blanks before; empty ones are left out
    };

    // " word word", and a blank behind it if a value follows.
    bool words(const Phrase& phrase, bool has_value) {
        const std::size_t start = at_;
        bool fits = true;
        for (const std::string_view word : phrase.words) {
            if (word.empty()) break;
            fits = blanks() && literal(word);
            if (!fits) break;
        }
        if (fits && has_value) fits = blanks();
        if (!fits) at_ = start;
        return fits;
    }

    std::optional<MatchOperator> compare() {
        for (const auto& [op, sign] :
             {std::pair{MatchOperator::equal, "=="}, std::pair{MatchOperator::not_equal, "!="}}) {
            const std::size_t start = at_;
            blanks();
            if (literal(sign)) {
                blanks();
                return op;
            }
            at_ = start;
        }
        static constexpr std::array<Phrase, 4> kOperators = {{
            {MatchOperator::in, {"contains", "", ""}},
            {MatchOperator::not_in, {"not", "contains", ""}},
            {MatchOperator::matches, {"matches", "", ""}},
            {MatchOperator::not_matches, {"not", "matches", ""}},
        }};
        for (const Phrase& candidate : kOperators) {
            if (words(candidate, true)) return candidate.op;
        }
        return std::nullopt;
    }

    std::optional<FilterMatch> selector_first() {
        FilterMatch out;
        if (!selector(out.selector)) return std::nullopt;
        const std::size_t after = at_;
        if (const auto op = compare()) {
            out.op = *op;
            out.value = value();
            if (out.value) return out;
            at_ = after;
        }
        static constexpr std::array<Phrase, 2> kEmptiness = {{
            {MatchOperator::is_empty, {"is", "empty", ""}},
            {MatchOperator::is_not_empty, {"is", "not", "empty"}},
        }};
        for (const Phrase& candidate : kEmptiness) {
            if (!words(candidate, false)) continue;
            out.op = candidate.op;
            return out;
        }
        return std::nullopt;
    }

    std::optional<FilterMatch> value_first() {
        FilterMatch out;
        out.value = value();
        if (!out.value) return std::nullopt;
        static constexpr std::array<Phrase, 2> kMembership = {{
            {MatchOperator::in, {"in", "", ""}},
            {MatchOperator::not_in, {"not", "in", ""}},
        }};
        for (const Phrase& candidate : kMembership) {
            if (!words(candidate, true)) continue;
            out.op = candidate.op;
            if (selector(out.selector)) return out;
            if (problems_.empty()) problem("match", "Invalid selector", at_);
            return std::nullopt;
        }
        return std::nullopt;
    }

    bool identifier(std::string& out) {
        const std::size_t start = at_;
        if (!one("[a-zA-Z]", is_letter)) return false;
        while (at_ < text_.size() &&
               (is_letter(text_[at_]) || is_digit(text_[at_]) || text_[at_] == '_')) {
            ++at_;
        }
        wanted("[a-zA-Z0-9_]");
        out = text_.substr(start, at_ - start);
        return true;
    }

    bool selector(std::vector<std::string>& out) {
        out.clear();
        if (!identifier(out.emplace_back())) return false;
        for (;;) {
            const std::size_t start = at_;
            std::string part;
            if (literal(".") && identifier(part)) {
                out.push_back(std::move(part));
                continue;
            }
            at_ = start;
            if (!index(part)) return true;
            out.push_back(std::move(part));
        }
    }

    bool index(std::string& out) {
        const std::size_t start = at_;
        if (!literal("[")) return false;
        blanks();
        const std::size_t inside = at_;
        auto text = string();
        if (text) {
            blanks();
            if (literal("]")) {
                out = *std::move(text);
                return true;
            }
            if (problems_.empty()) problem("index", "Unclosed index expression", at_);
        } else if (problems_.empty()) {
            problem("index", "Invalid index", inside);
        }
        at_ = start;
        return false;
    }

    std::optional<std::string> value() {
        const std::size_t start = at_;
        std::vector<std::string> path;
        if (selector(path)) return fmt::format("{}", fmt::join(path, "."));
        at_ = start;
        if (auto text = number()) return text;
        at_ = start;
        return string();
    }

    std::optional<std::string> number() {
        const std::size_t start = at_;
        literal("-");
        if (!literal("0")) {
            if (!one("[1-9]", [](char c) { return c >= '1' && c <= '9'; })) return std::nullopt;
            digits();
        }
        const std::size_t whole = at_;
        if (literal(".")) {
            const std::size_t fraction = at_;
            digits();
            if (at_ == fraction) at_ = whole;
        }
        const bool is_whole_word = at_ == text_.size() || text_[at_] == ')' ||
                                   kBlanks.find(text_[at_]) != std::string_view::npos;
        if (is_whole_word) return std::string(text_.substr(start, at_ - start));
        problem("number", "Invalid number literal", at_);
        return std::nullopt;
    }

    void digits() {
        while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
        wanted("[0-9]");
    }

    std::optional<std::string> string() {
        const std::size_t start = at_;
        if (!literal("`") && !literal("\"")) return std::nullopt;
        const std::size_t close = text_.find(text_[start], at_);
        if (close == std::string_view::npos) {
            problem("string", "Unterminated string literal", text_.size());
            at_ = start;
            return std::nullopt;
        }
        at_ = close + 1;
        auto out = unquote_go(text_.substr(start, at_ - start));
        if (!out) problem("string", "invalid syntax", start);
        return out;
    }

    Node add(FilterNode node) {
        tree_.nodes.push_back(std::move(node));
        return tree_.nodes.size() - 1;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    unsigned depth_ = 0;
    std::size_t farthest_ = 0;
    std::set<std::string> expected_;  // at farthest_
    std::size_t expects_end_at_ = std::string_view::npos;
    std::vector<std::string> problems_;
    FilterTree tree_;
};

void append_utf8(std::string& out, std::uint32_t code) {
    const auto tail = [&](unsigned shift) {
        out += static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
    };
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0U | (code >> 6U));
        tail(0);
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0U | (code >> 12U));
        tail(6);
        tail(0);
    } else {
        out += static_cast<char>(0xF0U | (code >> 18U));
        tail(12);
        tail(6);
        tail(0);
    }
}

// The escape at text[at], which is behind the backslash; nothing if it is none of Go's.
bool unescape(std::string_view text, std::size_t& at, std::string& out) {
    static constexpr std::string_view kNames = "abfnrtv\\\"";
    static constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\\"";
    if (at >= text.size()) return false;
    const char kind = text[at++];
    if (const auto found = kNames.find(kind); found != std::string_view::npos) {
        out += kValues[found];
        return true;
    }
    unsigned base = 16;
    std::size_t count = 0;
    if (kind == 'x') count = 2;
    if (kind == 'u') count = 4;
    if (kind == 'U') count = 8;
    if (kind >= '0' && kind <= '7') {
        base = 8;
        count = 3;
        --at;
    }
    if (count == 0 || at + count > text.size()) return false;
    std::uint32_t code = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const int digit = wire::hex_value(text[at + i]);
        if (digit < 0 || static_cast<unsigned>(digit) >= base) return false;
        code = code * base + static_cast<std::uint32_t>(digit);
    }
    at += count;
    if (kind != 'u' && kind != 'U') {
        if (code > 0xFF) return false;
        out += static_cast<char>(code);
        return true;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    append_utf8(out, code);
    return true;
}

}  // namespace

std::string_view to_string(MatchOperator op) noexcept {
    constexpr std::array<std::string_view, 8> kNames = {
        "Equal", "Not Equal", "In", "Not In", "Is Empty", "Is Not Empty", "Matches", "Not Matches"
    };
    return kNames[static_cast<std::size_t>(op)];
}

std::optional<std::string> unquote_go(std::string_view literal) {
    if (literal.size() < 2 || literal.front() != literal.back()) return std::nullopt;
    const char quote = literal.front();
    const std::string_view body = literal.substr(1, literal.size() - 2);
    std::string out;
    if (quote == '`') {
        for (const char c : body) {
            if (c == '`') return std::nullopt;
            if (c != '\r') out += c;
        }
        return out;
    }
    if (quote != '"') return std::nullopt;
    for (std::size_t i = 0; i < body.size();) {
        const char c = body[i++];
        if (c == '"' || c == '\n') return std::nullopt;
        if (c != '\\') {
            out += c;
        } else if (!unescape(body, i, out)) {
            return std::nullopt;
        }
    }
    return out;
}

Result<FilterTree> parse_filter(std::string_view text) {
    const auto refuse = [](std::string what) {
        return Error{.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
    };
    if (text.size() > kFilterBytesMax) {
        return refuse(fmt::format("the expression is longer than {} bytes", kFilterBytesMax));
    }
    if (!core::is_utf8(text)) return refuse("invalid encoding");
    return Parser(text).run();
}

}  // namespace datapunk::mesh::server
