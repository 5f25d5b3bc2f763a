// llhttp, the parser of Node.js, from the C sources of Debian's node-llhttp.

#include <llhttp/llhttp.h>

#include <set>

#include "reading.h"

namespace datapunk::mesh::differential {

namespace {

struct State {
    Reading reading;
    std::string name;
    std::string value;
    bool is_complete = false;
};

State& state_of(llhttp_t* parser) {
    return *static_cast<State*>(parser->data);
}

std::string_view trimmed(std::string_view text) {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

llhttp_settings_t callbacks() {
    llhttp_settings_t on;
    llhttp_settings_init(&on);
    on.on_url = [](llhttp_t* parser, const char* at, std::size_t size) {
        state_of(parser).reading.target.append(at, size);
        return 0;
    };
    on.on_header_field = [](llhttp_t* parser, const char* at, std::size_t size) {
        state_of(parser).name.append(at, size);
        return 0;
    };
    on.on_header_value = [](llhttp_t* parser, const char* at, std::size_t size) {
        state_of(parser).value.append(at, size);
        return 0;
    };
    on.on_header_value_complete = [](llhttp_t* parser) {
        State& state = state_of(parser);
        state.reading.fields.emplace_back(state.name, trimmed(state.value));
        state.name.clear();
        state.value.clear();
        return 0;
    };
    on.on_body = [](llhttp_t* parser, const char* at, std::size_t size) {
        state_of(parser).reading.body.append(at, size);
        return 0;
    };
    on.on_headers_complete = [](llhttp_t* parser) {
        // It leaves to who uses it which answers have no body (RFC 9112 6.3), as Node.js does.
        const unsigned status = parser->type == HTTP_RESPONSE ? parser->status_code : 0U;
        const bool has_none = status / 100 == 1 || status == 204 || status == 304;
        return has_none ? 1 : 0;
    };
    on.on_message_complete = [](llhttp_t* parser) {
        State& state = state_of(parser);
        state.is_complete = true;
        state.reading.is_keep_alive = llhttp_should_keep_alive(parser) != 0;
        return static_cast<int>(HPE_PAUSED);
    };
    return on;
}

}  // namespace

bool is_method_of_llhttp(std::string_view method) {
    static const std::set<std::string_view> kKnown = {
#define NAME(number, name, text) #text,
        HTTP_METHOD_MAP(NAME)
#undef NAME
    };
    return kKnown.contains(method);
}

Reading read_llhttp(Kind kind, std::string_view bytes) {
    static const llhttp_settings_t kCallbacks = callbacks();
    llhttp_t parser;
    llhttp_init(&parser, kind == Kind::request ? HTTP_REQUEST : HTTP_RESPONSE, &kCallbacks);
    State state;
    parser.data = &state;
    llhttp_errno_t error = llhttp_execute(&parser, bytes.data(), bytes.size());
    std::size_t used = bytes.size();
    if (error != HPE_OK)
        used = static_cast<std::size_t>(llhttp_get_error_pos(&parser) - bytes.data());
    if (error == HPE_OK && !state.is_complete) error = llhttp_finish(&parser);
    Reading& out = state.reading;
    if (state.is_complete) {
        out.verdict = Reading::Verdict::whole;
        out.bytes = used;
        if (kind == Kind::request) {
            out.method = llhttp_method_name(static_cast<llhttp_method_t>(parser.method));
        } else {
            out.status = parser.status_code;
        }
    } else if (error == HPE_OK || error == HPE_INVALID_EOF_STATE) {
        out.verdict = Reading::Verdict::unfinished;
    } else {
        out.why = llhttp_errno_name(error);
    }
    return out;
}

}  // namespace datapunk::mesh::differential
