#pragma once

// TSIG (RFC 8945): a message with a keyed hash over itself, so that the receiver knows who sent it
// and when. Here is what is hashed and how the record is written; the hash itself is the caller's
// (io::hmac_sha256), since this room has no OpenSSL.
//
//   verify:  hmac(secret, tsig_input(bytes, *message.tsig, {})) == message.tsig->mac, and the time
//   answer:  tsig.mac = hmac(secret, tsig_input(reply, tsig, request_mac)); append_tsig(reply,
//   tsig)

#include <string>
#include <string_view>

#include "wire/dns/message.h"

namespace datapunk::mesh::wire::dns {

inline constexpr std::string_view kHmacSha256 = "hmac-sha256.";

// What the hash of `message` is taken over. The message may have its TSIG record still (then
// tsig.offset says where) or not yet (offset 0). `request_mac` is that of the request if this is
// its answer.
std::string tsig_input(std::string_view message, const Tsig& tsig, std::string_view request_mac);

// Writes the record behind an encoded message.
void append_tsig(std::string& message, const Tsig& tsig);

}  // namespace datapunk::mesh::wire::dns
