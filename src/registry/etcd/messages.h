#pragma once

// What is said to etcd's JSON gateway (/v3/…) and how its answers are read. Pure: values in, text
// out, and back. Keys and values travel as base64, 64-bit numbers as text; what is zero is left
// out. Source: etcd 3.4's rpc.proto and recorded answers of 3.4.23.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::registry::etcd {

// How far which cluster is: every answer begins with it (as its "header"). Revisions of different
// clusters cannot be compared.
struct Position {
    std::string cluster;
    std::uint64_t revision = 0;
};

struct KeyValue {
    std::string key;
    std::string value;
    std::uint64_t mod_revision = 0;
};

struct RangeRequest {
    std::string key;
    std::string range_end{};     // empty: this key alone; see prefix_end()
    std::uint64_t limit = 0;     // 0: all
    std::uint64_t revision = 0;  // 0: now
    bool keys_only = false;
    bool newest_first = false;  // by mod_revision
};

struct RangeAnswer {
    Position position;
    std::vector<KeyValue> kvs;
    std::uint64_t count = 0;  // of the keys in range, whatever the limit
    bool more = false;
};

struct Put {
    std::string key;
    std::string value;
    std::string lease;
};

// Puts and deletes if `key` is still at `mod_revision` (0: not there), all or nothing.
struct Swap {
    std::string key;
    std::uint64_t mod_revision = 0;
    std::vector<Put> puts{};
    std::vector<std::string> deletes{};
};

struct SwapAnswer {
    Position position;
    bool succeeded = false;
};

struct LeaseAnswer {
    std::string id;
    std::uint64_t ttl_s = 0;  // 0: the lease is over
};

struct WatchEvent {
    KeyValue kv;
    bool is_delete = false;
};

struct WatchMessage {
    Position position;
    bool created = false;
    bool canceled = false;
    std::uint64_t compact_revision = 0;  // not 0: what was asked for is gone, read everything anew
    std::string cancel_reason;
    std::vector<WatchEvent> events;
};

// The end of the range of all keys that begin with `prefix` (not empty, not all 0xff).
std::string prefix_end(std::string prefix);

std::string range_body(const RangeRequest& request);
std::string swap_body(const Swap& swap);
std::string grant_body(std::uint64_t ttl_s);
std::string lease_body(std::string_view id);  // keep alive, revoke
std::string watch_body(std::string_view prefix, std::uint64_t start_revision);
std::string authenticate_body(std::string_view user, std::string_view password);

Result<RangeAnswer> parse_range(std::string_view body);
Result<SwapAnswer> parse_swap(std::string_view body);
Result<LeaseAnswer> parse_grant(std::string_view body);
Result<LeaseAnswer> parse_keepalive(std::string_view body);
// One line of a watch. An error line is an Error.
Result<WatchMessage> parse_watch(std::string_view line);
Result<std::string> parse_token(std::string_view body);

// gRPC's status codes, as the gateway says them.
enum class Status : std::uint8_t {
    unknown = 2,
    invalid_argument = 3,
    deadline_exceeded = 4,
    not_found = 5,
    permission_denied = 7,
    resource_exhausted = 8,
    failed_precondition = 9,
    out_of_range = 11,
    internal = 13,
    unavailable = 14,
    unauthenticated = 16,
};

// An answer that is not 200.
struct Refusal {
    Error error;
    Status status = Status::unknown;
    bool try_another = false;  // another member may do better
};

Refusal refusal(int http_status, std::string_view body);

}  // namespace datapunk::mesh::registry::etcd
