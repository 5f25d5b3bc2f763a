#pragma once

// Result<T>: a value, or the Error that kept us from one. Stands in for std::expected, which
// libstdc++ 12 has only from -std=c++23 and without and_then(). Values; copy and move freely.

#include <datapunk/mesh/export.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace datapunk::mesh {

enum class Code : std::uint8_t {
    invalid,      // the request itself is wrong; repeating it cannot help
    not_found,    // what was asked for does not exist
    conflict,     // it exists already, or somebody changed it first
    unavailable,  // the other side cannot be reached or refuses for now
    timeout,      // the deadline passed
    exhausted,    // a limit or budget of ours is used up
    denied,       // not allowed
    aborted,      // given up by us: shutting down, cancelled
    internal,     // a defect or a broken machine
};

// Whose fault it is: decides what is counted where, and what may be retried.
enum class Source : std::uint8_t { internal, downstream, upstream, registry };

DATAPUNK_MESH_API std::string_view to_string(Code code) noexcept;
DATAPUNK_MESH_API std::string_view to_string(Source source) noexcept;

struct Error {
    Code code = Code::internal;
    std::string what{};  // what was tried, on what, what came back: one line, no trailing dot
    Source source = Source::internal;
    bool retryable = false;  // the same call may succeed later or elsewhere
    // So long the other side wants to be left alone (HTTP's Retry-After); zero: it did not say.
    Duration retry_after{};

    friend bool operator==(const Error&, const Error&) = default;
};

// The nothing of a call that only succeeds or fails.
struct Ok {
    friend bool operator==(Ok, Ok) = default;
};

template <class T = Ok>
class [[nodiscard]] Result {
  public:
    // Implicit on purpose: `return value;` and `return Error{...};` read best.
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT

    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

    bool ok() const noexcept { return state_.index() == 0; }

    explicit operator bool() const noexcept { return ok(); }

    // Reading the wrong side is a defect of the caller and ends the process (std::get throws).
    T& value() & { return std::get<0>(state_); }

    const T& value() const& { return std::get<0>(state_); }

    T value() && { return std::get<0>(std::move(state_)); }

    T& operator*() & { return value(); }

    const T& operator*() const& { return value(); }

    T operator*() && { return std::move(*this).value(); }

    T* operator->() { return &value(); }

    const T* operator->() const { return &value(); }

    const Error& error() const& { return std::get<1>(state_); }

    Error error() && { return std::get<1>(std::move(state_)); }

    T value_or(T fallback) const& { return ok() ? value() : std::move(fallback); }

  private:
    std::variant<T, Error> state_;
};

}  // namespace datapunk::mesh
