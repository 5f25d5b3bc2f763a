#include "io/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/assert.h"

namespace datapunk::mesh::io {

std::string hmac_sha256(std::string_view key, std::string_view message) {
    unsigned char digest[EVP_MAX_MD_SIZE] = {};
    unsigned size = 0;
    const unsigned char* made = HMAC(
        EVP_sha256(),
        key.data(),
        static_cast<int>(key.size()),
        reinterpret_cast<const unsigned char*>(message.data()),
        message.size(),
        digest,
        &size
    );
    MESH_ASSERT(made != nullptr);
    return {reinterpret_cast<const char*>(digest), size};
}

std::string sha1(std::string_view message) {
    unsigned char digest[EVP_MAX_MD_SIZE] = {};
    unsigned size = 0;
    const int done = EVP_Digest(message.data(), message.size(), digest, &size, EVP_sha1(), nullptr);
    MESH_ASSERT(done == 1);
    return {reinterpret_cast<const char*>(digest), size};
}

bool equals_in_constant_time(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace datapunk::mesh::io
