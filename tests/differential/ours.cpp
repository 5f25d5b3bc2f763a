// Our parsers, as a MessageReader puts them together.

#include "core/strings.h"
#include "reading.h"
#include "wire/http1/body_decoder.h"
#include "wire/http1/head_parser.h"

namespace datapunk::mesh::differential {

namespace {

using namespace wire::http1;

void keep(Reading& out, const std::vector<Field>& fields) {
    for (const Field& field : fields) out.fields.emplace_back(field.name, field.value);
}

Reading refused(Reject why) {
    Reading out;
    out.why = to_string(why);
    return out;
}

void read_body(Reading& out, const Head& head, std::string_view rest) {
    BodyDecoder decoder;
    decoder.reset(head.framing, head.content_length);
    auto state = decoder.is_done() ? BodyDecoder::State::done : BodyDecoder::State::more;
    Reject why = Reject::none;
    while (state == BodyDecoder::State::more && !rest.empty()) {
        const BodyDecoder::Step step = decoder.decode(rest);
        out.body += step.payload;
        out.bytes += step.consumed;
        rest.remove_prefix(step.consumed);
        state = step.state;
        why = step.why;
    }
    if (state == BodyDecoder::State::more) state = decoder.eof().state;
    if (state == BodyDecoder::State::done) {
        out.verdict = Reading::Verdict::whole;
        keep(out, decoder.trailers());
    } else if (why == Reject::none) {
        out.verdict = Reading::Verdict::unfinished;
    } else {
        out = refused(why);
    }
}

template <class HeadType>
Reading finish(const ParseResult& result, const HeadType& head, std::string_view bytes) {
    if (result.state == ParseResult::State::bad) return refused(result.why);
    Reading out;
    out.verdict = Reading::Verdict::unfinished;
    if (result.state == ParseResult::State::incomplete) return out;
    keep(out, head.fields);
    out.bytes = result.head_bytes;
    out.is_keep_alive = head.keep_alive;
    read_body(out, head, bytes.substr(result.head_bytes));
    return out;
}

}  // namespace

std::map<std::string, std::vector<std::string>> by_name(const Fields& fields) {
    std::map<std::string, std::vector<std::string>> out;
    for (const auto& [name, value] : fields) out[core::lowercase(name)].push_back(value);
    return out;
}

Reading read_ours(Kind kind, std::string_view bytes) {
    HeadParser parser;
    if (kind == Kind::request) {
        RequestHead head;
        const ParseResult result = parser.parse_request(bytes, head);
        // The proxy answers CONNECT with 501 and closes, whatever follows.
        if (head.method == Method::connect) head.framing = Framing::none;
        Reading out = finish(result, head, bytes);
        if (out.verdict == Reading::Verdict::whole) {
            out.method = head.method_text;
            out.target = head.target;
        }
        return out;
    }
    ResponseHead head;
    const ParseResult result = parser.parse_response(bytes, Method::get, head);
    Reading out = finish(result, head, bytes);
    out.status = head.status;
    return out;
}

}  // namespace datapunk::mesh::differential
