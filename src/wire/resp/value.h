#pragma once

// RespValue: one message of the Redis protocol, RESP2 or RESP3, and how a command is written.
// Values.
//
//     RESP2:  +simple  -error  :integer  $blob  *array   (a blob or array of length -1 is null)
//     RESP3:  _null  #boolean  ,double  (big number  !blob error  =verbatim  %map  ~set  >push
//
// Attributes (|) are read and dropped: nobody asks for them.
// Source: https://redis.io/docs/latest/develop/reference/protocol-spec/

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::wire::resp {

enum class RespType : std::uint8_t {
    null,
    text,   // simple string, blob, verbatim (without its "txt:") or big number
    error,  // text: "ERR what", "WRONGTYPE …"
    integer,
    real,
    boolean,  // in `integer`: 0 or 1
    array,    // and set
    map,      // items: key, value, key, value, …
    push,     // out of band: what a subscription delivers
};

struct RespValue {
    RespType type = RespType::null;
    std::string text{};
    std::int64_t integer = 0;
    double real = 0;
    std::vector<RespValue> items{};

    bool is_error() const noexcept { return type == RespType::error; }

    bool is_null() const noexcept { return type == RespType::null; }

    bool is_text() const noexcept { return type == RespType::text; }

    // The word that programs switch on: "WRONGTYPE" of "WRONGTYPE Operation against …".
    std::string_view error_code() const noexcept;

    friend bool operator==(const RespValue&, const RespValue&) = default;
};

// A command is an array of blobs; binary-safe.
void append_command(std::string& out, const std::vector<std::string>& words);
// A value as a server sends it; RESP3 (map, push, boolean, real, null as _) if `resp3`, else in the
// older forms. For tests and simulated servers; reals that are not finite are inf, -inf and nan.
void append_value(std::string& out, const RespValue& value, bool resp3);

}  // namespace datapunk::mesh::wire::resp
