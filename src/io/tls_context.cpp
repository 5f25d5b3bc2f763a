#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <utility>

#include "core/assert.h"
#include "io/tls.h"

namespace datapunk::mesh::io {

namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

constexpr std::size_t kFilesMax = 1000;  // of a CA directory: the public web has some 150 roots

bool is_text(const std::string& pem) {
    return pem.find("-----BEGIN") != std::string::npos;
}

Error bad(const std::string& pem, std::string_view what) {
    const unsigned long code = ERR_get_error();
    const char* reason = ERR_reason_error_string(code);
    std::string where = is_text(pem) ? "the given PEM text" : pem;
    ERR_clear_error();
    return {
        .code = Code::invalid,
        .what = fmt::format("TLS: {} in {}: {}", what, where, reason == nullptr ? "none" : reason)
    };
}

BioPtr open(const std::string& pem) {
    ERR_clear_error();
    if (!is_text(pem)) return {BIO_new_file(pem.c_str(), "r"), &BIO_free};
    return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

// An encrypted key must not stop the program to ask for a password on the terminal.
int no_password(char* /*into*/, int /*size*/, int /*writing*/, void* /*unused*/) {
    return -1;
}

Result<std::vector<X509Ptr>> read_certificates(const std::string& pem, std::string_view what) {
    const BioPtr in = open(pem);
    std::vector<X509Ptr> certificates;
    while (in != nullptr) {
        X509Ptr one(PEM_read_bio_X509(in.get(), nullptr, &no_password, nullptr), &X509_free);
        if (one == nullptr) break;
        certificates.push_back(std::move(one));
    }
    const unsigned long end = ERR_peek_last_error();
    const bool at_end =
        ERR_GET_LIB(end) == ERR_LIB_PEM && ERR_GET_REASON(end) == PEM_R_NO_START_LINE;
    if (certificates.empty() || !at_end) return bad(pem, what);
    ERR_clear_error();
    return certificates;
}

int choose_protocol(
    SSL* /*ssl*/,
    const unsigned char** out,
    unsigned char* out_bytes,
    const unsigned char* offered,
    unsigned int offered_bytes,
    void* ours
) {
    const auto& wanted = *static_cast<const std::string*>(ours);
    unsigned char* chosen = nullptr;
    const int found = SSL_select_next_proto(
        &chosen,
        out_bytes,
        reinterpret_cast<const unsigned char*>(wanted.data()),
        static_cast<unsigned>(wanted.size()),
        offered,
        offered_bytes
    );
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct Loaded {
    std::vector<X509Ptr> chain;  // ours first
    KeyPtr key{nullptr, &EVP_PKEY_free};
};

Result<Loaded> load(const std::string& chain, const std::string& key) {
    auto certificates = read_certificates(chain, "bad certificate");
    if (!certificates) return certificates.error();
    const BioPtr in = open(key);
    KeyPtr secret(
        in == nullptr ? nullptr : PEM_read_bio_PrivateKey(in.get(), nullptr, &no_password, nullptr),
        &EVP_PKEY_free
    );
    if (secret == nullptr) return bad(key, "bad private key");
    if (X509_check_private_key(certificates->front().get(), secret.get()) != 1)
        return bad(key, "a private key that does not fit the certificate");
    return Loaded{.chain = *std::move(certificates), .key = std::move(secret)};
}

WallTime wall_time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return WallTime::min();
    return WallTime(std::chrono::seconds(timegm(&parts)));
}

std::atomic<std::uint64_t> next_id{1};

}  // namespace

// Shown to clients that ask for one of its names.
struct TlsContext::NamedIdentity {
    Loaded loaded;
};

TlsContext::TlsContext(bool is_server)
    : context_(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method())),
      is_server_(is_server),
      id_(next_id.fetch_add(1, std::memory_order_relaxed)) {
    MESH_ASSERT(context_ != nullptr);
    set_min_version(TlsVersion::tls12);
    SSL_CTX_set_security_level(context_, 2);  // 112 bits: no RSA below 2048, no SHA-1
    SSL_CTX_set_options(
        context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
    );
    // Idle connections give their record buffers back: 32 KB each otherwise.
    SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
    // Of TLS 1.2's only those with forward secrecy and authenticated encryption.
    MESH_ASSERT(SSL_CTX_set_cipher_list(context_, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1);
    static constexpr unsigned char kSessions[] = "datapunk-mesh";
    SSL_CTX_set_session_id_context(context_, kSessions, sizeof kSessions - 1);
    if (is_server) {
        SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);  // tickets need none
    } else {
        SSL_CTX_set_session_cache_mode(
            context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE
        );
        SSL_CTX_sess_set_new_cb(context_, &TlsStream::keep_session);
    }
}

TlsContext::~TlsContext() {
    SSL_CTX_free(context_);
}

void TlsContext::set_min_version(TlsVersion version) {
    SSL_CTX_set_min_proto_version(
        context_, version == TlsVersion::tls13 ? TLS1_3_VERSION : TLS1_2_VERSION
    );
}

void TlsContext::note_life(const void* certificate) {
    const auto* one = static_cast<const X509*>(certificate);
    const WallTime end = wall_time_of(X509_get0_notAfter(one));
    if (end >= expires_at_) return;
    expires_at_ = end;
    valid_from_ = wall_time_of(X509_get0_notBefore(one));
}

Result<> TlsContext::load_identity(const std::string& chain, const std::string& key) {
    auto loaded = load(chain, key);
    if (!loaded) return std::move(loaded).error();
    const auto& certificates = loaded->chain;
    if (SSL_CTX_use_certificate(context_, certificates.front().get()) != 1) {
        return bad(chain, "unusable certificate");
    }
    for (std::size_t i = 1; i < certificates.size(); ++i) {
        SSL_CTX_add1_chain_cert(context_, certificates[i].get());
    }
    if (SSL_CTX_use_PrivateKey(context_, loaded->key.get()) != 1)
        return bad(key, "unusable private key");
    note_life(certificates.front().get());
    return Ok{};
}

Result<> TlsContext::load_more(const std::vector<TlsIdentity>& more) {
    for (const TlsIdentity& identity : more) {
        auto loaded = load(identity.certificate_chain, identity.private_key);
        if (!loaded) return std::move(loaded).error();
        // The same checks as of the first: key strength, for one.
        const std::unique_ptr<SSL, decltype(&SSL_free)> probe(SSL_new(context_), &SSL_free);
        if (SSL_use_certificate(probe.get(), loaded->chain.front().get()) != 1)
            return bad(identity.certificate_chain, "unusable certificate");
        note_life(loaded->chain.front().get());
        more_.push_back({*std::move(loaded)});
    }
    if (!more_.empty()) SSL_CTX_set_cert_cb(context_, &TlsStream::choose_identity, this);
    return Ok{};
}

// Called with the client's greeting. All that are for the name are offered: an ECDSA and an RSA
// certificate, say.
int TlsStream::choose_identity(SSL* ssl, void* context_of) {
    const auto* context = static_cast<const TlsContext*>(context_of);
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == nullptr) return 1;
    const std::size_t bytes = std::strlen(name);
    const auto is_for = [&](X509* certificate, unsigned flags) {
        return X509_check_host(certificate, name, bytes, flags, nullptr) == 1;
    };
    for (const unsigned flags :
         {unsigned{X509_CHECK_FLAG_NO_WILDCARDS}, unsigned{X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS}}) {
        // The first one is no worse for being the first.
        if (is_for(SSL_CTX_get0_certificate(context->context_), flags)) return 1;
        bool found = false;
        for (auto one = context->more_.rbegin(); one != context->more_.rend(); ++one) {
            const Loaded& loaded = one->loaded;
            X509* const certificate = loaded.chain.front().get();
            if (!is_for(certificate, flags)) continue;
            if (!std::exchange(found, true)) SSL_certs_clear(ssl);
            SSL_use_certificate(ssl, certificate);
            SSL_use_PrivateKey(ssl, loaded.key.get());
            SSL_clear_chain_certs(ssl);
            for (std::size_t i = 1; i < loaded.chain.size(); ++i)
                SSL_add1_chain_cert(ssl, loaded.chain[i].get());
        }
        if (found) return 1;
    }
    return 1;
}

void TlsContext::verify_peer_uris(std::vector<std::string> uris) {
    peer_uris_ = std::move(uris);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, [](int good, X509_STORE_CTX* store) {
        return TlsStream::check_peer_uri(good, store);
    });
}

Result<> TlsContext::trust(const std::string& ca) {
    auto certificates = read_certificates(ca, "bad CA certificate");
    if (!certificates) return certificates.error();
    for (const X509Ptr& one : *certificates) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), one.get());
        if (is_server_) SSL_CTX_add_client_CA(context_, one.get());
    }
    return Ok{};
}

Result<> TlsContext::trust_directory(const std::string& directory) {
    std::error_code failed;
    std::filesystem::directory_iterator entry(directory, failed);
    std::size_t files = 0;
    for (; !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
        if (!entry->is_regular_file(failed)) continue;  // also what a link leads to
        if (++files > kFilesMax) {
            return Error{
                .code = Code::invalid,
                .what = fmt::format("TLS: over {} files in {}", kFilesMax, directory)
            };
        }
        if (auto done = trust(entry->path().string()); !done) return done;
    }
    if (!failed && files > 0) return Ok{};
    return Error{
        .code = Code::invalid,
        .what = fmt::format(
            "TLS: no CA certificates in {}: {}",
            directory,
            failed ? failed.message() : "the directory is empty"
        )
    };
}

Result<> TlsContext::set_alpn(const std::vector<std::string>& protocols) {
    for (const std::string& name : protocols) {
        if (name.empty() || name.size() > 255) {
            return Error{
                .code = Code::invalid, .what = "TLS: an ALPN protocol must have 1 to 255 bytes"
            };
        }
        alpn_ += static_cast<char>(name.size());
        alpn_ += name;
    }
    if (alpn_.empty()) return Ok{};
    if (is_server_) {
        SSL_CTX_set_alpn_select_cb(context_, &choose_protocol, &alpn_);
    } else {
        SSL_CTX_set_alpn_protos(
            context_,
            reinterpret_cast<const unsigned char*>(alpn_.data()),
            static_cast<unsigned>(alpn_.size())
        );
    }
    return Ok{};
}

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const TlsServerConfig& config) {
    const std::shared_ptr<TlsContext> context(new TlsContext(true));
    if (auto done = context->load_identity(config.certificate_chain, config.private_key); !done)
        return done.error();
    if (auto done = context->load_more(config.more); !done) return done.error();
    if (auto done = context->set_alpn(config.alpn); !done) return done.error();
    context->set_min_version(config.min_version);
    if (!config.client_ca.empty()) {
        if (auto done = context->trust(config.client_ca); !done) return done.error();
        const int needed = config.client_certificate_optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        SSL_CTX_set_verify(context->context_, SSL_VERIFY_PEER | needed, nullptr);
    }
    return std::shared_ptr<const TlsContext>(context);
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const TlsClientConfig& config) {
    const std::shared_ptr<TlsContext> context(new TlsContext(false));
    std::error_code none;
    if (!config.ca.empty()) {
        const bool is_directory =
            !is_text(config.ca) && std::filesystem::is_directory(config.ca, none);
        auto done = is_directory ? context->trust_directory(config.ca) : context->trust(config.ca);
        if (!done) return done.error();
    } else {
        SSL_CTX_set_default_verify_paths(context->context_);
    }
    if (!config.certificate_chain.empty()) {
        auto done = context->load_identity(config.certificate_chain, config.private_key);
        if (!done) return done.error();
    }
    if (auto done = context->set_alpn(config.alpn); !done) return done.error();
    context->set_min_version(config.min_version);
    SSL_CTX_set_verify(
        context->context_, config.verify_peer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr
    );
    if (!config.peer_uris.empty()) context->verify_peer_uris(config.peer_uris);
    return std::shared_ptr<const TlsContext>(context);
}

}  // namespace datapunk::mesh::io
