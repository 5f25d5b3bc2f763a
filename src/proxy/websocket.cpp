#include "proxy/websocket.h"

#include <cstdint>

#include "core/strings.h"
#include "io/hmac.h"

namespace datapunk::mesh::proxy {

std::string new_websocket_key(core::Rng& rng) {
    std::string bytes;
    for (int i = 0; i < 2; ++i) {
        std::uint64_t random = rng();
        for (int j = 0; j < 8; ++j, random >>= 8U) bytes += static_cast<char>(random & 0xffU);
    }
    return core::base64_encode(bytes);
}

std::string websocket_accept(std::string_view key) {
    std::string text(key);
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3
    return core::base64_encode(io::sha1(text));
}

}  // namespace datapunk::mesh::proxy
