#include "routing/condition.h"

#include <algorithm>
#include <utility>

#include "core/strings.h"

namespace datapunk::mesh::routing {

namespace {

int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// The first character that an escaped text means; the text must not be empty.
char take_decoded(std::string_view& text) noexcept {
    const char first = text.front();
    if (first == '%' && text.size() >= 3) {
        const int high = hex_digit(text[1]);
        const int low = hex_digit(text[2]);
        if (high >= 0 && low >= 0) {
            text.remove_prefix(3);
            return static_cast<char>(high * 16 + low);
        }
    }
    text.remove_prefix(1);
    return first == '+' ? ' ' : first;
}

enum class Whole : bool { no, yes };

// Whether the escaped text means `plain`, or begins with it.
bool decodes_to(std::string_view escaped, std::string_view plain, Whole whole) noexcept {
    for (const char c : plain) {
        if (escaped.empty() || take_decoded(escaped) != c) return false;
    }
    return whole == Whole::no || escaped.empty();
}

}  // namespace

Result<Condition> Condition::create(const ValueMatch& match) {
    const int given = (match.exact ? 1 : 0) + (match.prefix ? 1 : 0) + (match.regex ? 1 : 0);
    Error wrong{.code = Code::invalid};
    if (given > 1) {
        wrong.what = "give one of exact, prefix and regex";
        return wrong;
    }
    if (!match.present && given > 0) {
        wrong.what = "present: false says that there is none: then it has no value";
        return wrong;
    }
    Condition made;
    made.name_ = match.name;
    if (!match.present) made.kind_ = Kind::absent;
    if (match.exact) {
        made.kind_ = Kind::exact;
        made.text_ = *match.exact;
    }
    if (match.prefix) {
        made.kind_ = Kind::prefix;
        made.text_ = *match.prefix;
    }
    if (match.regex) {
        auto pattern = Pattern::create(*match.regex);
        if (!pattern) {
            wrong.what = "regex is " + pattern.error().what;
            return wrong;
        }
        made.kind_ = Kind::regex;
        made.pattern_ = *std::move(pattern);
    }
    return made;
}

bool Condition::fits(std::string_view value) const noexcept {
    switch (kind_) {
        case Kind::exact:
            return value == text_;
        case Kind::prefix:
            return value.starts_with(text_);
        case Kind::regex:
            return pattern_.matches(value);
        case Kind::present:
        case Kind::absent:
            break;
    }
    return true;
}

bool Condition::fits_escaped(std::string_view value) const {
    switch (kind_) {
        case Kind::exact:
            return decodes_to(value, text_, Whole::yes);
        case Kind::prefix:
            return decodes_to(value, text_, Whole::no);
        case Kind::regex: {
            if (value.find_first_of("%+") == std::string_view::npos) return pattern_.matches(value);
            std::string plain;
            while (!value.empty()) plain += take_decoded(value);
            return pattern_.matches(plain);
        }
        case Kind::present:
        case Kind::absent:
            break;
    }
    return true;
}

bool Condition::is_met_by_fields(std::span<const wire::http1::Field> fields) const noexcept {
    const bool found =
        std::any_of(fields.begin(), fields.end(), [this](const wire::http1::Field& field) {
            return core::equals_ignoring_case(field.name, name_) && fits(field.value);
        });
    return found != (kind_ == Kind::absent);
}

bool Condition::is_met_by_query(std::string_view query) const {
    while (!query.empty()) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view parameter = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        const std::size_t equals = std::min(parameter.find('='), parameter.size());
        if (!decodes_to(parameter.substr(0, equals), name_, Whole::yes)) continue;
        const std::string_view value = parameter.substr(std::min(equals + 1, parameter.size()));
        if (fits_escaped(value)) return kind_ != Kind::absent;
    }
    return kind_ == Kind::absent;
}

}  // namespace datapunk::mesh::routing
