#include "wire/http1/body_decoder.h"

#include <algorithm>

#include "wire/hex.h"
#include "wire/http1/chars.h"
#include "wire/http1/field_line.h"

namespace datapunk::mesh::wire::http1 {
namespace {

constexpr std::uint8_t kSizeDigitsMax = 16;  // as many as 64 bits have: it cannot overflow

}  // namespace

bool is_forbidden_in_trailer(Header id) noexcept {
    switch (id) {
        case Header::authorization:
        case Header::cache_control:
        case Header::connection:
        case Header::content_encoding:
        case Header::content_length:
        case Header::content_range:
        case Header::content_type:
        case Header::cookie:
        case Header::expect:
        case Header::forwarded:
        case Header::host:
        case Header::keep_alive:
        case Header::max_forwards:
        case Header::proxy_authenticate:
        case Header::proxy_authorization:
        case Header::proxy_connection:
        case Header::range:
        case Header::set_cookie:
        case Header::te:
        case Header::trailer:
        case Header::transfer_encoding:
        case Header::upgrade:
        case Header::www_authenticate:
        case Header::x_forwarded_for:
        case Header::x_forwarded_host:
        case Header::x_forwarded_port:
        case Header::x_forwarded_proto:
        case Header::x_real_ip:
            return true;
        default:
            return false;
    }
}

void BodyDecoder::reset(Framing framing, std::uint64_t content_length, Limits limits) {
    left_ = 0;
    trailer_text_.clear();
    trailer_line_start_ = 0;
    trailer_bytes_max_ = limits.trailer_bytes_max;
    trailer_fields_max_ = limits.fields_max;
    trailer_count_ = 0;
    size_digits_ = 0;
    why_ = Reject::none;
    switch (framing) {
        case Framing::none:
            stage_ = Stage::done;
            break;
        case Framing::length:
            left_ = content_length;
            stage_ = content_length > 0 ? Stage::fixed_data : Stage::done;
            break;
        case Framing::chunked:
            stage_ = Stage::size_start;
            break;
        case Framing::until_close:
            stage_ = Stage::until_close;
            break;
    }
}

std::string_view BodyDecoder::take(std::string_view in) {
    const std::size_t count = std::min<std::uint64_t>(left_, in.size());
    left_ -= count;
    return in.substr(0, count);
}

BodyDecoder::Step BodyDecoder::decode(std::string_view in) {
    Step step;
    if (stage_ == Stage::until_close) {
        step.consumed = in.size();
        step.payload = in;
        return step;
    }
    if (stage_ == Stage::fixed_data) {
        step.payload = take(in);
        step.consumed = step.payload.size();
        if (left_ == 0) stage_ = Stage::done;
    }
    while (step.consumed < in.size() && stage_ != Stage::done && stage_ != Stage::failed) {
        if (stage_ == Stage::chunk_data) {
            if (!step.payload.empty()) return step;  // a second run: the next step's
            step.payload = take(in.substr(step.consumed));
            step.consumed += step.payload.size();
            if (left_ == 0) stage_ = Stage::chunk_cr;
            continue;
        }
        why_ = frame_byte(in[step.consumed]);
        if (why_ != Reject::none) {
            stage_ = Stage::failed;
            break;
        }
        ++step.consumed;
    }
    if (stage_ == Stage::done) step.state = State::done;
    if (stage_ == Stage::failed) step.state = State::bad;
    step.why = why_;
    return step;
}

BodyDecoder::Step BodyDecoder::eof() {
    if (stage_ == Stage::until_close) stage_ = Stage::done;
    if (stage_ == Stage::done) return {.state = State::done};
    if (stage_ != Stage::failed) {
        stage_ = Stage::failed;
        why_ = Reject::truncated_body;
    }
    return {.state = State::bad, .why = why_};
}

Reject BodyDecoder::frame_byte(char c) {
    switch (stage_) {
        case Stage::size_start:
        case Stage::size_digits:
            return size_byte(c);
        case Stage::size_lf:
            if (c != '\n') return Reject::bare_cr;
            stage_ = left_ > 0 ? Stage::chunk_data : Stage::trailer_line;
            return Reject::none;
        case Stage::chunk_cr:
            if (c != '\r') return Reject::bad_chunk_end;
            stage_ = Stage::chunk_lf;
            return Reject::none;
        case Stage::chunk_lf:
            if (c != '\n') return Reject::bad_chunk_end;
            stage_ = Stage::size_start;
            return Reject::none;
        default:
            return trailer_byte(c);
    }
}

Reject BodyDecoder::size_byte(char c) {
    const int digit = hex_value(c);
    if (digit >= 0) {
        if (stage_ == Stage::size_start) {
            left_ = 0;
            size_digits_ = 0;
            stage_ = Stage::size_digits;
        }
        if (++size_digits_ > kSizeDigitsMax) return Reject::bad_chunk_size;
        left_ = left_ << 4U | static_cast<std::uint64_t>(digit);
        return Reject::none;
    }
    if (stage_ == Stage::size_start) return Reject::bad_chunk_size;
    if (c == '\r') {
        stage_ = Stage::size_lf;
        return Reject::none;
    }
    if (c == '\n') return Reject::bare_lf;
    return c == ';' || is_blank(c) ? Reject::chunk_extension : Reject::bad_chunk_size;
}

// trailer_text_ holds the finished lines, each with its '\n' but without '\r', and the begun one.
Reject BodyDecoder::trailer_byte(char c) {
    if (stage_ == Stage::trailer_lf) {
        if (c != '\n') return Reject::bare_cr;
        return end_trailer_line();
    }
    if (c == '\r') {
        stage_ = Stage::trailer_lf;
        return Reject::none;
    }
    if (c == '\n') return Reject::bare_lf;
    if (is_in(c, kControl)) return Reject::control_byte;
    if (trailer_text_.size() >= trailer_bytes_max_) return Reject::trailer_too_large;
    trailer_text_ += c;
    return Reject::none;
}

Reject BodyDecoder::end_trailer_line() {
    const std::string_view line = std::string_view(trailer_text_).substr(trailer_line_start_);
    if (line.empty()) {
        stage_ = Stage::done;
        return Reject::none;
    }
    Field field;
    const Reject why = parse_field_line(line, field);
    if (why != Reject::none) return why;
    if (is_forbidden_in_trailer(field.id)) return Reject::forbidden_trailer;
    if (++trailer_count_ > trailer_fields_max_) return Reject::too_many_fields;
    trailer_text_ += '\n';
    trailer_line_start_ = trailer_text_.size();
    stage_ = Stage::trailer_line;
    return Reject::none;
}

std::vector<Field> BodyDecoder::trailers() const {
    std::vector<Field> fields;
    std::string_view rest = trailer_text_;
    while (stage_ == Stage::done && !rest.empty()) {
        const std::size_t end = rest.find('\n');
        Field field;
        if (parse_field_line(rest.substr(0, end), field) == Reject::none) fields.push_back(field);
        rest.remove_prefix(end + 1);
    }
    return fields;
}

}  // namespace datapunk::mesh::wire::http1
