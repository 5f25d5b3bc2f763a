#pragma once

// Keyed hashes, for the rooms that may not know OpenSSL. Pure functions; any thread.

#include <string>
#include <string_view>

namespace datapunk::mesh::io {

// HMAC-SHA256 (RFC 2104, FIPS 180-4): 32 bytes.
std::string hmac_sha256(std::string_view key, std::string_view message);

// SHA-1 (FIPS 180-4): 20 bytes. Where a protocol wants it (RFC 6455), never to protect anything.
std::string sha1(std::string_view message);

// Takes the same time wherever they differ: for comparing what a stranger sent with a secret.
bool equals_in_constant_time(std::string_view a, std::string_view b) noexcept;

}  // namespace datapunk::mesh::io
