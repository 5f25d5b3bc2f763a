#include "registry/etcd/messages.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"
#include "registry/answer_text.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::registry::etcd {

namespace dom = simdjson::dom;

namespace {

std::string_view text_at(const dom::object& object, std::string_view key) {
    std::string_view text;
    if (object.at_key(key).get(text) != simdjson::SUCCESS) return {};
    return text;
}

// Text or number; missing is 0, as the gateway leaves zeros out. Nothing if it is neither.
std::optional<std::uint64_t> number_at(const dom::object& object, std::string_view key) {
    dom::element element;
    if (object.at_key(key).get(element) != simdjson::SUCCESS) return 0;
    std::uint64_t number = 0;
    if (element.get(number) == simdjson::SUCCESS) return number;
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) return std::nullopt;
    return core::parse_number<std::uint64_t>(text);
}

bool is_true(const dom::object& object, std::string_view key) {
    bool value = false;
    return object.at_key(key).get(value) == simdjson::SUCCESS && value;
}

bool read_position(const dom::object& answer, Position& out) {
    dom::object header;
    if (answer.at_key("header").get(header) != simdjson::SUCCESS) return false;
    const auto revision = number_at(header, "revision");
    out.cluster = text_at(header, "cluster_id");
    out.revision = revision.value_or(0);
    return revision.has_value();
}

bool read_pair(const dom::object& object, KeyValue& out) {
    auto key = core::base64_decode(text_at(object, "key"));
    auto value = core::base64_decode(text_at(object, "value"));
    const auto revision = number_at(object, "mod_revision");
    if (!key || !value || !revision) return false;
    out = {.key = *std::move(key), .value = *std::move(value), .mod_revision = *revision};
    return true;
}

// Runs `read` on the object that `body` is; it says whether it understood it.
template <class T, class Read>
Result<T> parsed(std::string_view body, Read read) {
    dom::parser parser;
    dom::object object;
    const auto problem = parser.parse(body.data(), body.size()).get(object);
    if (problem != simdjson::SUCCESS)
        return malformed_answer(body, simdjson::error_message(problem));
    T out;
    if (!read(object, out))
        return malformed_answer(body, "a field is missing or has the wrong type");
    return out;
}

void write_put(wire::JsonWriter& json, const Put& put) {
    json.begin_object().key("request_put").begin_object();
    json.key("key").string(core::base64_encode(put.key));
    json.key("value").string(core::base64_encode(put.value));
    json.key("lease").string(put.lease);
    json.end_object().end_object();
}

Code code_of(Status status) {
    switch (status) {
        case Status::deadline_exceeded:
            return Code::timeout;
        case Status::not_found:
            return Code::not_found;
        case Status::permission_denied:
        case Status::unauthenticated:
            return Code::denied;
        case Status::resource_exhausted:
        case Status::unavailable:
        case Status::internal:
        case Status::unknown:
            return Code::unavailable;
        case Status::invalid_argument:
        case Status::failed_precondition:
        case Status::out_of_range:
            return Code::invalid;
    }
    return Code::invalid;
}

Status status_of(int http_status) {
    if (http_status == 401) return Status::unauthenticated;
    if (http_status == 403) return Status::permission_denied;
    if (http_status == 404) return Status::not_found;
    if (http_status == 429) return Status::resource_exhausted;
    if (http_status >= 500) return Status::unavailable;
    return Status::invalid_argument;
}

Refusal refused(Status status, std::string what) {
    Refusal out;
    out.status = status;
    const Code code = code_of(status);
    out.try_another = code == Code::unavailable || code == Code::timeout;
    out.error = {
        .code = code,
        .what = std::move(what),
        .source = Source::registry,
        .retryable = out.try_another
    };
    return out;
}

Status known(std::uint64_t code) {
    for (const Status status :
         {Status::unknown,
          Status::invalid_argument,
          Status::deadline_exceeded,
          Status::not_found,
          Status::permission_denied,
          Status::resource_exhausted,
          Status::failed_precondition,
          Status::out_of_range,
          Status::internal,
          Status::unavailable,
          Status::unauthenticated}) {
        if (code == static_cast<std::uint64_t>(status)) return status;
    }
    return Status::unknown;
}

}  // namespace

std::string prefix_end(std::string prefix) {
    while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
    if (!prefix.empty()) ++prefix.back();
    return prefix;
}

std::string range_body(const RangeRequest& request) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object().key("key").string(core::base64_encode(request.key));
    if (!request.range_end.empty()) {
        json.key("range_end").string(core::base64_encode(request.range_end));
    }
    if (request.limit > 0) json.key("limit").string(std::to_string(request.limit));
    if (request.revision > 0) json.key("revision").string(std::to_string(request.revision));
    if (request.keys_only) json.key("keys_only").boolean(true);
    if (request.newest_first) {
        json.key("sort_order").string("DESCEND").key("sort_target").string("MOD");
    }
    json.end_object();
    return out;
}

std::string swap_body(const Swap& swap) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object().key("compare").begin_array().begin_object();
    json.key("key").string(core::base64_encode(swap.key));
    json.key("target").string("MOD").key("result").string("EQUAL");
    json.key("mod_revision").string(std::to_string(swap.mod_revision));
    json.end_object().end_array();
    json.key("success").begin_array();
    for (const Put& put : swap.puts) write_put(json, put);
    for (const std::string& key : swap.deletes) {
        json.begin_object().key("request_delete_range").begin_object();
        json.key("key").string(core::base64_encode(key)).end_object().end_object();
    }
    json.end_array().end_object();
    return out;
}

std::string grant_body(std::uint64_t ttl_s) {
    return fmt::format(R"({{"TTL":"{}"}})", ttl_s);
}

std::string lease_body(std::string_view id) {
    std::string out;
    wire::JsonWriter(out).begin_object().key("ID").string(id).end_object();
    return out;
}

std::string watch_body(std::string_view prefix, std::uint64_t start_revision) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object().key("create_request").begin_object();
    json.key("key").string(core::base64_encode(prefix));
    json.key("range_end").string(core::base64_encode(prefix_end(std::string(prefix))));
    json.key("start_revision").string(std::to_string(start_revision));
    json.end_object().end_object();
    return out;
}

std::string authenticate_body(std::string_view user, std::string_view password) {
    std::string out;
    wire::JsonWriter json(out);
    json.begin_object().key("name").string(user).key("password").string(password).end_object();
    return out;
}

Result<RangeAnswer> parse_range(std::string_view body) {
    return parsed<RangeAnswer>(body, [](const dom::object& object, RangeAnswer& out) {
        if (!read_position(object, out.position)) return false;
        const auto count = number_at(object, "count");
        out.count = count.value_or(0);
        out.more = is_true(object, "more");
        dom::array kvs;
        if (object.at_key("kvs").get(kvs) != simdjson::SUCCESS) return count.has_value();
        for (const dom::element element : kvs) {
            dom::object pair;
            KeyValue kv;
            if (element.get(pair) != simdjson::SUCCESS || !read_pair(pair, kv)) return false;
            out.kvs.push_back(std::move(kv));
        }
        return count.has_value();
    });
}

Result<SwapAnswer> parse_swap(std::string_view body) {
    return parsed<SwapAnswer>(body, [](const dom::object& object, SwapAnswer& out) {
        out.succeeded = is_true(object, "succeeded");
        return read_position(object, out.position);
    });
}

Result<LeaseAnswer> parse_grant(std::string_view body) {
    return parsed<LeaseAnswer>(body, [](const dom::object& object, LeaseAnswer& out) {
        out.id = text_at(object, "ID");
        const auto ttl = number_at(object, "TTL");
        out.ttl_s = ttl.value_or(0);
        return !out.id.empty() && out.ttl_s > 0;
    });
}

Result<LeaseAnswer> parse_keepalive(std::string_view body) {
    return parsed<LeaseAnswer>(body, [](const dom::object& object, LeaseAnswer& out) {
        dom::object result;
        if (object.at_key("result").get(result) != simdjson::SUCCESS) return false;
        out.id = text_at(result, "ID");
        const auto ttl = number_at(result, "TTL");
        out.ttl_s = ttl.value_or(0);
        return !out.id.empty() && ttl.has_value();
    });
}

Result<WatchMessage> parse_watch(std::string_view line) {
    std::optional<Error> refusal;
    auto message = parsed<WatchMessage>(line, [&](const dom::object& object, WatchMessage& out) {
        dom::object error;
        if (object.at_key("error").get(error) == simdjson::SUCCESS) {
            const auto code = number_at(error, "grpc_code");
            refusal = refused(known(code.value_or(2)), shown(text_at(error, "message"))).error;
            return true;
        }
        dom::object result;
        if (object.at_key("result").get(result) != simdjson::SUCCESS) return false;
        if (!read_position(result, out.position)) return false;
        out.created = is_true(result, "created");
        out.canceled = is_true(result, "canceled");
        out.cancel_reason = shown(text_at(result, "cancel_reason"));
        const auto compacted = number_at(result, "compact_revision");
        out.compact_revision = compacted.value_or(0);
        dom::array events;
        if (result.at_key("events").get(events) != simdjson::SUCCESS) return true;
        for (const dom::element element : events) {
            dom::object event;
            dom::object pair;
            WatchEvent one;
            if (element.get(event) != simdjson::SUCCESS ||
                event.at_key("kv").get(pair) != simdjson::SUCCESS || !read_pair(pair, one.kv)) {
                return false;
            }
            one.is_delete = text_at(event, "type") == "DELETE";
            out.events.push_back(std::move(one));
        }
        return true;
    });
    if (refusal) return *std::move(refusal);
    return message;
}

Result<std::string> parse_token(std::string_view body) {
    return parsed<std::string>(body, [](const dom::object& object, std::string& out) {
        out = text_at(object, "token");
        return !out.empty();
    });
}

Refusal refusal(int http_status, std::string_view body) {
    dom::parser parser;
    dom::object object;
    const bool is_json = parser.parse(body.data(), body.size()).get(object) == simdjson::SUCCESS;
    if (is_json) {
        dom::object inner;  // a refused stream says it one level further down
        if (object.at_key("error").get(inner) == simdjson::SUCCESS) {
            const auto code = number_at(inner, "grpc_code");
            return refused(
                known(code.value_or(2)),
                fmt::format("{} {}", http_status, shown(text_at(inner, "message")))
            );
        }
        const auto code = number_at(object, "code");
        const std::string_view text = text_at(object, "error");
        if (code && *code != 0 && !text.empty()) {
            // So it says to somebody without a token that authentication is wanted: 400.
            const bool is_stranger = text.find("user name is empty") != std::string_view::npos;
            const Status status = is_stranger ? Status::unauthenticated : known(*code);
            return refused(status, fmt::format("{} {}", http_status, shown(text)));
        }
    }
    return refused(status_of(http_status), fmt::format("{} {}", http_status, shown(body)));
}

}  // namespace datapunk::mesh::registry::etcd
