// What a peer's certificate says of it.

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>

#include "io/tls.h"

namespace datapunk::mesh::io {

namespace {

std::string text_of(const ASN1_STRING* value) {
    return {
        reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
        static_cast<std::size_t>(ASN1_STRING_length(value))
    };
}

std::string name_text(const GENERAL_NAME& name) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(&name, &type);
    if (type == GEN_DNS) return "DNS:" + text_of(static_cast<const ASN1_STRING*>(value));
    if (type == GEN_URI) return "URI:" + text_of(static_cast<const ASN1_STRING*>(value));
    if (type != GEN_IPADD) return {};
    const std::string raw = text_of(static_cast<const ASN1_STRING*>(value));
    SocketAddress address{.is_v6 = raw.size() == 16};
    if (raw.size() != 4 && raw.size() != 16) return {};
    std::memcpy(address.ip.data(), raw.data(), raw.size());
    return "IP:" + address.ip_text();
}

std::string subject_of(const X509* certificate) {
    BIO* out = BIO_new(BIO_s_mem());
    X509_NAME_print_ex(out, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    char* data = nullptr;
    const long bytes = BIO_get_mem_data(out, &data);
    std::string text(data, static_cast<std::size_t>(std::max(bytes, 0L)));
    BIO_free(out);
    return text;
}

std::vector<std::string> names_of(const X509* certificate) {
    std::vector<std::string> names;
    auto* found = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)
    );
    for (int i = 0; i < sk_GENERAL_NAME_num(found); ++i) {
        std::string text = name_text(*sk_GENERAL_NAME_value(found, i));
        // A zero byte is an old trick to make a name look shorter than it is.
        if (!text.empty() && text.find('\0') == std::string::npos) names.push_back(std::move(text));
    }
    GENERAL_NAMES_free(found);
    return names;
}

std::string digest_of(const X509* certificate) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned bytes = 0;
    if (X509_digest(certificate, EVP_sha256(), digest.data(), &bytes) != 1) return {};
    std::string text;
    for (unsigned i = 0; i < bytes; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
}

// X509-SVID 4: what a certificate that names a workload may be used for.
bool is_leaf(X509* certificate) {
    const std::uint32_t usage = X509_get_key_usage(certificate);
    const bool is_stated = usage != UINT32_MAX;
    return X509_check_ca(certificate) == 0 && is_stated && (usage & KU_DIGITAL_SIGNATURE) != 0 &&
           (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) == 0;
}

}  // namespace

TlsPeer TlsStream::peer_identity() const {
    TlsPeer peer;
    X509* certificate = SSL_get0_peer_certificate(ssl_);
    if (certificate == nullptr) return peer;
    peer.subject = subject_of(certificate);
    peer.names = names_of(certificate);
    peer.sha256 = digest_of(certificate);
    peer.is_leaf = is_leaf(certificate);
    return peer;
}

// Behind OpenSSL's own verification: of the peer's certificate, besides its chain, the one URI.
int TlsStream::check_peer_uri(int good_so_far, void* store_of) {
    auto* store = static_cast<X509_STORE_CTX*>(store_of);
    if (good_so_far != 1 || X509_STORE_CTX_get_error_depth(store) != 0) return good_so_far;
    const auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const auto* stream = static_cast<const TlsStream*>(SSL_get_app_data(ssl));
    std::vector<std::string> uris = names_of(X509_STORE_CTX_get_current_cert(store));
    std::erase_if(uris, [](const std::string& name) { return !name.starts_with("URI:"); });
    const auto& wanted = stream->context_->peer_uris_;
    const bool is_wanted =
        uris.size() == 1 &&
        std::find(wanted.begin(), wanted.end(), uris.front().substr(4)) != wanted.end();
    if (is_wanted) return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

}  // namespace datapunk::mesh::io
