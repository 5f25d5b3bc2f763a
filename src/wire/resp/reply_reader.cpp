#include "wire/resp/reply_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "core/assert.h"
#include "core/strings.h"

namespace datapunk::mesh::wire::resp {

namespace {

constexpr std::string_view kEnd = "\r\n";
// What was read is cut off the buffer when it is at least so much: moving the rest costs.
constexpr std::size_t kCompactBytes = 16U << 10U;
// Items to make room for before the first of them is there: a length is only a promise.
constexpr std::size_t kReserveMax = 64;

std::optional<double> parse_real(std::string_view text) {
    if (text == "inf") return std::numeric_limits<double>::infinity();
    if (text == "-inf") return -std::numeric_limits<double>::infinity();
    if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
    return core::parse_number<double>(text);
}

bool is_big_number(std::string_view text) {
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

void ReplyReader::feed(std::string_view bytes) {
    if (problem_) return;
    if (at_ == buffer_.size()) {
        buffer_.clear();
        at_ = scanned_ = 0;
    } else if (at_ >= kCompactBytes) {
        buffer_.erase(0, at_);
        scanned_ -= std::min(scanned_, at_);
        at_ = 0;
    }
    buffer_.append(bytes);
}

bool ReplyReader::next() {
    while (!done_ && !problem_) {
        if (step() != Step::more) break;
    }
    return done_.has_value() && !problem_;
}

RespValue ReplyReader::take() {
    MESH_ASSERT(done_);
    RespValue value = *std::move(done_);
    done_.reset();
    return value;
}

ReplyReader::Step ReplyReader::fail(std::string_view why) {
    problem_ = Error{
        .code = Code::invalid,
        .what = fmt::format("the redis reply makes no sense: {}", why),
        .source = Source::upstream
    };
    return Step::failed;
}

bool ReplyReader::is_too_large(std::size_t more) {
    if (more <= limits_.bytes_max && bytes_ <= limits_.bytes_max - more) return false;
    problem_ = Error{
        .code = Code::exhausted,
        .what = fmt::format("the redis reply has more than {} bytes", limits_.bytes_max),
        .source = Source::upstream
    };
    return true;
}

ReplyReader::Step ReplyReader::step() {
    return blob_bytes_ ? read_blob() : read_header();
}

// Without its end. Redis ends lines with CR LF only; a lone one of them is no line's end.
ReplyReader::Step ReplyReader::read_line(std::string_view& line) {
    const std::size_t from = std::max(at_, scanned_);
    const std::size_t end = buffer_.find(kEnd, from);
    if (end == std::string::npos) {
        // A CR may wait for its LF: it is not the line's then.
        const std::size_t pending = buffer_.ends_with('\r') && buffer_.size() > at_ ? 1 : 0;
        if (buffer_.size() - at_ > limits_.line_bytes_max + pending) {
            return fail("a line has no end");
        }
        scanned_ = buffer_.empty() ? 0 : buffer_.size() - 1;
        return Step::starved;
    }
    if (end - at_ > limits_.line_bytes_max) return fail("a line is too long");
    line = std::string_view(buffer_).substr(at_, end - at_);
    return Step::more;
}

ReplyReader::Step ReplyReader::read_header() {
    std::string_view line;
    if (const Step step = read_line(line); step != Step::more) return step;
    if (line.empty()) return fail("an empty line");
    if (is_too_large(line.size())) return Step::failed;
    bytes_ += line.size();
    at_ += line.size() + kEnd.size();
    const char mark = line.front();
    const std::string_view rest = line.substr(1);
    switch (mark) {
        case '$':
        case '!':
        case '=':
        case '*':
        case '~':
        case '%':
        case '>':
        case '|':
            break;
        default:
            return read_scalar(mark, rest);
    }
    const auto count = core::parse_number<std::int64_t>(rest);
    if (!count) return fail("a length is not a number");
    if (mark == '$' || mark == '!' || mark == '=') return begin_blob(mark, *count);
    return read_aggregate(mark, *count);
}

ReplyReader::Step ReplyReader::read_scalar(char mark, std::string_view text) {
    RespValue value;
    switch (mark) {
        case '+':
            value.type = RespType::text;
            value.text = text;
            return add(std::move(value));
        case '-':
            value.type = RespType::error;
            value.text = text;
            return add(std::move(value));
        case ':': {
            const auto whole =
                core::parse_number<std::int64_t>(text.starts_with('+') ? text.substr(1) : text);
            if (!whole) return fail("an integer is not a number");
            value.type = RespType::integer;
            value.integer = *whole;
            return add(std::move(value));
        }
        case '_':
            if (!text.empty()) return fail("null with a value");
            return add(std::move(value));
        case '#':
            if (text != "t" && text != "f") return fail("neither true nor false");
            value.type = RespType::boolean;
            value.integer = text == "t" ? 1 : 0;
            return add(std::move(value));
        case ',': {
            const auto real = parse_real(text);
            if (!real) return fail("a double is not a number");
            value.type = RespType::real;
            value.real = *real;
            return add(std::move(value));
        }
        case '(':
            if (!is_big_number(text)) return fail("a big number is not a number");
            value.type = RespType::text;
            value.text = text;
            return add(std::move(value));
        default:
            return fail("no type begins like this");
    }
}

ReplyReader::Step ReplyReader::begin_blob(char mark, std::int64_t bytes) {
    if (bytes == -1 && mark == '$') return add(RespValue{});
    if (bytes < 0) return fail("a length below zero");
    if (is_too_large(static_cast<std::size_t>(bytes))) return Step::failed;
    blob_mark_ = mark;
    blob_bytes_ = static_cast<std::size_t>(bytes);
    bytes_ += *blob_bytes_;
    return Step::more;
}

ReplyReader::Step ReplyReader::read_blob() {
    if (buffer_.size() - at_ < *blob_bytes_ + kEnd.size()) return Step::starved;
    const std::string_view blob = std::string_view(buffer_).substr(at_, *blob_bytes_);
    if (buffer_.compare(at_ + blob.size(), kEnd.size(), kEnd) != 0) {
        return fail("a blob does not end where it should");
    }
    RespValue value{.type = blob_mark_ == '!' ? RespType::error : RespType::text};
    if (blob_mark_ == '=') {
        if (blob.size() < 4 || blob[3] != ':') return fail("a verbatim text without its kind");
        value.text = blob.substr(4);
    } else {
        value.text = blob;
    }
    at_ += blob.size() + kEnd.size();
    blob_bytes_.reset();
    return add(std::move(value));
}

ReplyReader::Step ReplyReader::read_aggregate(char mark, std::int64_t count) {
    if (count == -1 && mark == '*') return add(RespValue{});
    if (count < 0) return fail("a length below zero");
    const bool in_pairs = mark == '%' || mark == '|';
    const auto left = limits_.items_max - std::min(items_, limits_.items_max);
    const auto items = static_cast<std::uint64_t>(count);
    if (items > left || (in_pairs && items > left / 2)) return fail("too many items");
    if (open_.size() >= limits_.depth_max) return fail("nested too deeply");
    Open open;
    open.is_attribute = mark == '|';
    open.missing = static_cast<std::size_t>(items) * (in_pairs ? 2 : 1);
    open.value.type = RespType::array;
    if (mark == '%') open.value.type = RespType::map;
    if (mark == '>') open.value.type = RespType::push;
    items_ += open.missing;
    if (open.missing == 0) {
        if (open.is_attribute) return Step::more;
        return add(std::move(open.value));
    }
    open.value.items.reserve(std::min(open.missing, kReserveMax));
    open_.push_back(std::move(open));
    return Step::more;
}

// Into the innermost open array; those that are full thereby follow.
ReplyReader::Step ReplyReader::add(RespValue value) {
    while (!open_.empty()) {
        Open& parent = open_.back();
        parent.value.items.push_back(std::move(value));
        if (--parent.missing > 0) return Step::more;
        const bool is_attribute = parent.is_attribute;
        value = std::move(parent.value);
        open_.pop_back();
        if (is_attribute) return Step::more;
    }
    bytes_ = items_ = 0;
    done_ = std::move(value);
    return Step::more;
}

}  // namespace datapunk::mesh::wire::resp
