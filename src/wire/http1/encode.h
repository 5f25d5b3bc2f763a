#pragma once

// A message -> its bytes, appended to a buffer that the caller reuses. What would break the framing
// (CR, LF, NUL and other control bytes in a name, value or target) never gets out: append_field
// asserts, since parsed fields cannot hold it; try_append_field refuses, for text from elsewhere.

#include <cstdint>
#include <string>
#include <string_view>

namespace datapunk::mesh::wire::http1 {

inline constexpr std::string_view kChunkEnd = "\r\n";        // after each chunk's data
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";  // without trailers
inline constexpr std::string_view kTrailersBegin = "0\r\n";  // then fields, then kHeadEnd
inline constexpr std::string_view kHeadEnd = "\r\n";

std::string_view reason_phrase(int status) noexcept;  // "Unknown" where IANA lists none

bool is_field_name(std::string_view name) noexcept;    // a token
bool is_field_value(std::string_view value) noexcept;  // no control byte but HTAB

void append_request_line(
    std::string& out, std::string_view method, std::string_view target, int minor_version = 1
);
// An empty reason stands for reason_phrase(status).
void append_status_line(
    std::string& out, int status, std::string_view reason = {}, int minor_version = 1
);
void append_field(std::string& out, std::string_view name, std::string_view value);
void append_field(std::string& out, std::string_view name, std::uint64_t value);
// False, and nothing appended, if name or value are not fit for a field line.
[[nodiscard]] bool try_append_field(
    std::string& out, std::string_view name, std::string_view value
);
// Begins a chunk of data_bytes >= 1 (0 would end the body); then the data, then kChunkEnd.
void append_chunk_head(std::string& out, std::uint64_t data_bytes);

}  // namespace datapunk::mesh::wire::http1
