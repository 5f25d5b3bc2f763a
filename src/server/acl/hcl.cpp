#include "server/acl/hcl.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "server/filter/filter_syntax.h"

namespace datapunk::mesh::server {

namespace {

using Json = nlohmann::json;

bool is_key_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_key(char c) {
    return is_key_start(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<Json> run() {
        Json out = Json::object();
        if (!body(out, false)) {
            return Error{
                .code = Code::invalid, .what = *std::move(problem_), .source = Source::downstream
            };
        }
        return out;
    }

  private:
    // The end counts as one column more than the last character's successor, as HCL has it.
    bool fail(std::string_view what) {
        if (problem_) return false;
        std::size_t line = 1;
        std::size_t column = 1;
        for (std::size_t i = 0; i < at_; ++i) {
            ++column;
            if (text_[i] == '\n') {
                ++line;
                column = 1;
            }
        }
        if (at_ == text_.size()) ++column;
        problem_ = fmt::format("At {}:{}: {}", line, column, what);
        return false;
    }

    std::string next_token() const {
        if (at_ == text_.size()) return "EOF";
        return fmt::format("\"{}\"", text_.substr(at_, 1));
    }

    bool skip_blanks() {
        while (at_ < text_.size()) {
            const std::string_view rest = text_.substr(at_);
            if (rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n') {
                ++at_;
            } else if (rest[0] == '#' || rest.starts_with("//")) {
                at_ = std::min(text_.find('\n', at_), text_.size());
            } else if (rest.starts_with("/*")) {
                const std::size_t end = text_.find("*/", at_ + 2);
                if (end == std::string_view::npos) return fail("comment not terminated");
                at_ = end + 2;
            } else {
                return true;
            }
        }
        return true;
    }

    bool takes(char c) {
        if (at_ < text_.size() && text_[at_] == c) {
            ++at_;
            return true;
        }
        return false;
    }

    bool text(std::string& out) {
        const std::size_t start = at_++;
        while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') {
            if (text_[at_] == '\\') ++at_;
            ++at_;
        }
        if (at_ >= text_.size() || text_[at_] != '"') {
            at_ = std::min(at_, text_.size());
            return fail("literal not terminated");
        }
        ++at_;
        const std::string_view literal = text_.substr(start, at_ - start);
        auto plain = unquote_go(literal);
        if (!plain) {  // JSON has escapes that Go has not
            const Json json = Json::parse(literal, nullptr, false);
            if (json.is_string()) plain = json.get<std::string>();
        }
        if (!plain) {
            at_ = start;
            return fail("illegal escape in a literal");
        }
        out = *std::move(plain);
        return true;
    }

    bool key(std::string& out) {
        if (at_ < text_.size() && text_[at_] == '"') return text(out);
        if (at_ == text_.size() || !is_key_start(text_[at_])) {
            return fail(fmt::format("object expected closing RBRACE got: {}", next_token()));
        }
        const std::size_t start = at_;
        while (at_ < text_.size() && is_key(text_[at_])) ++at_;
        out = text_.substr(start, at_ - start);
        return true;
    }

    // What comes a second time makes a list of both.
    static void put(Json& object, const std::string& key, Json value) {
        if (!object.contains(key)) {
            object[key] = std::move(value);
            return;
        }
        Json& old = object[key];
        if (!old.is_array()) old = Json::array({std::move(old)});
        old.push_back(std::move(value));
    }

    bool block(Json& out) {
        if (++depth_ > kHclDepthMax) return fail("nested too deeply");
        out = Json::object();
        if (!body(out, true)) return false;
        --depth_;
        return true;
    }

    // Up to the closing brace, or to the end.
    bool body(Json& out, bool has_brace) {
        for (;;) {
            if (!skip_blanks()) return false;
            if (at_ == text_.size()) {
                if (!has_brace) return true;
                return fail("object expected closing RBRACE got: EOF");
            }
            if (has_brace && takes('}')) return true;
            std::string name;
            if (!key(name) || !item(out, name) || !skip_blanks()) return false;
            (void)takes(',');
        }
    }

    bool item(Json& out, const std::string& name) {
        if (!skip_blanks()) return false;
        if (takes('=') || takes(':')) {
            Json value;
            if (!skip_blanks() || !this->value(value)) return false;
            put(out, name, std::move(value));
            return true;
        }
        std::vector<std::string> labels;
        while (at_ < text_.size() && text_[at_] == '"') {
            if (!text(labels.emplace_back()) || !skip_blanks()) return false;
            if (labels.size() > kHclDepthMax) return fail("too many labels");
        }
        if (!takes('{')) {
            return fail(fmt::format(
                "expected start of object ('{{') or assignment ('='), got {}", next_token()
            ));
        }
        Json inner;
        if (!block(inner)) return false;
        for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
            Json outer = Json::object();
            outer[*label] = std::move(inner);
            inner = std::move(outer);
        }
        put(out, name, std::move(inner));
        return true;
    }

    bool value(Json& out) {
        if (at_ == text_.size()) return fail("value expected got: EOF");
        const char first = text_[at_];
        if (first == '"') {
            std::string plain;
            if (!text(plain)) return false;
            out = std::move(plain);
            return true;
        }
        if (takes('{')) return block(out);
        if (takes('[')) return list(out);
        const std::size_t start = at_;
        while (at_ < text_.size() && is_key(text_[at_])) ++at_;
        const std::string_view word = text_.substr(start, at_ - start);
        if (word == "true" || word == "false") {
            out = word == "true";
            return true;
        }
        const bool is_number = !word.empty() && word.find_first_not_of("0123456789.-") == word.npos;
        if (!is_number) {
            at_ = start;
            return fail(fmt::format("Unknown token: {}", next_token()));
        }
        out = std::string(word);  // no rule has a number; the text is what errors show
        return true;
    }

    bool list(Json& out) {
        if (++depth_ > kHclDepthMax) return fail("nested too deeply");
        out = Json::array();
        for (;;) {
            if (!skip_blanks()) return false;
            if (takes(']')) break;
            Json value;
            if (!this->value(value) || !skip_blanks()) return false;
            out.push_back(std::move(value));
            if (!takes(',') && (at_ == text_.size() || text_[at_] != ']')) {
                return fail("error parsing list, expected comma or list end, got: " + next_token());
            }
        }
        --depth_;
        return true;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    unsigned depth_ = 0;
    std::optional<std::string> problem_;
};

}  // namespace

Result<Json> parse_hcl(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos && text[first] == '{') {
        // JSON is a block whose keys are quoted and followed by ":", which the parser knows.
        const std::size_t last = text.find_last_not_of(" \t\r\n");
        if (text[last] == '}') text = text.substr(first + 1, last - first - 1);
    }
    return Parser(text).run();
}

}  // namespace datapunk::mesh::server
