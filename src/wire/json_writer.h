#pragma once

// JsonWriter: streams JSON onto a string, in one pass, without a tree.
//
//   JsonWriter json(out);
//   json.begin_object().key("Port").number(8080).key("Tags").begin_array().end_array().end_object();
//
// Always valid JSON: bytes that are not UTF-8 become \ufffd, NaN and infinities become null, and a
// value in the wrong place is an assertion. Strings are escaped as Go does it (also < > & and the
// separators U+2028/9), so that answers equal Consul's and can stand inside HTML. Pretty is
// Consul's ?pretty: 4 blanks a level, {} and [] when empty. Belongs to one thread; ~1 ns a byte.

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace datapunk::mesh::wire {

void append_json_string(std::string& out, std::string_view text);  // with its quotes

class JsonWriter {
  public:
    explicit JsonWriter(std::string& out, bool is_pretty = false)
        : out_(out), is_pretty_(is_pretty) {}

    JsonWriter& begin_object() { return open('{'); }

    JsonWriter& end_object() { return close('}'); }

    JsonWriter& begin_array() { return open('['); }

    JsonWriter& end_array() { return close(']'); }

    JsonWriter& key(std::string_view name);
    JsonWriter& string(std::string_view text);
    JsonWriter& boolean(bool value) { return raw(value ? "true" : "false"); }

    JsonWriter& null() { return raw("null"); }

    // The shortest text that reads back as the same value.
    JsonWriter& number(double value);

    template <std::integral T>
    JsonWriter& number(T value) {
        if constexpr (std::signed_integral<T>)
            return signed_number(value);
        else
            return unsigned_number(value);
    }

    // Text that is one JSON value already; not checked.
    JsonWriter& raw(std::string_view json);

    // Whether exactly one value has been written and closed.
    bool is_complete() const noexcept { return depth_ == 0 && has_items_ == 1; }

  private:
    static constexpr unsigned kDepthMax = 63;  // one bit a level

    JsonWriter& open(char bracket);
    JsonWriter& close(char bracket);
    JsonWriter& signed_number(std::int64_t value);
    JsonWriter& unsigned_number(std::uint64_t value);
    void before_value();
    void before_item();
    void new_line();

    std::string& out_;
    std::uint64_t is_object_ = 0;  // bit d: the container at depth d is an object
    std::uint64_t has_items_ = 0;  // bit d: something was written at depth d
    unsigned depth_ = 0;
    bool is_pretty_;
    bool has_key_ = false;
};

}  // namespace datapunk::mesh::wire
