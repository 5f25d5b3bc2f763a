#pragma once

// What a proxy must know of WebSocket's handshake (RFC 6455 4): the key, and the proof in the
// answer that it was understood as one. HTTP/2 has neither (RFC 8441 5). Pure functions.

#include <string>
#include <string_view>

#include "core/rng.h"

namespace datapunk::mesh::proxy {

inline constexpr std::string_view kWebSocket = "websocket";
inline constexpr std::string_view kWebSocketKey = "sec-websocket-key";
inline constexpr std::string_view kWebSocketAccept = "sec-websocket-accept";

// 16 random bytes in base64.
std::string new_websocket_key(core::Rng& rng);
// What an endpoint answers to it.
std::string websocket_accept(std::string_view key);

}  // namespace datapunk::mesh::proxy
