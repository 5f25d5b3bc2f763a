#pragma once

// Certificates for tests, made on the spot (P-256, so that it takes microseconds). Test code only.

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>

#include "core/assert.h"

namespace datapunk::mesh::io {

struct TestCertificate {
    std::string certificate;  // PEM
    std::string key;          // PEM
};

struct TestCertificateRequest {
    std::string common_name;
    std::string names;  // "DNS:localhost,IP:127.0.0.1,URI:spiffe://mesh/web"; may be empty
    bool is_ca = false;
    long begins_s = -3'600;  // from now
    long ends_s = 3'600;
};

namespace detail {

template <class Write>
std::string to_pem(Write write) {
    BIO* out = BIO_new(BIO_s_mem());
    MESH_ASSERT(write(out) == 1);
    char* data = nullptr;
    const long bytes = BIO_get_mem_data(out, &data);
    std::string pem(data, static_cast<std::size_t>(bytes));
    BIO_free(out);
    return pem;
}

inline void add_extension(X509* to, X509* issuer, int id, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    MESH_ASSERT(extension != nullptr);
    X509_add_ext(to, extension, -1);
    X509_EXTENSION_free(extension);
}

}  // namespace detail

// Signed by `issuer`, or by itself.
inline TestCertificate make_test_certificate(
    const TestCertificateRequest& request, const TestCertificate* issuer = nullptr
) {
    static long serial = 1;
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), request.begins_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), request.ends_s);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(certificate),
        "CN",
        MBSTRING_UTF8,
        reinterpret_cast<const unsigned char*>(request.common_name.c_str()),
        -1,
        -1,
        0
    );
    X509* issuer_certificate = certificate;
    EVP_PKEY* issuer_key = key;
    if (issuer != nullptr) {
        BIO* in = BIO_new_mem_buf(issuer->certificate.data(), -1);
        issuer_certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
        BIO_free(in);
        in = BIO_new_mem_buf(issuer->key.data(), -1);
        issuer_key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
        BIO_free(in);
    }
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer_certificate));
    detail::add_extension(
        certificate,
        issuer_certificate,
        NID_basic_constraints,
        request.is_ca ? "critical,CA:TRUE" : "CA:FALSE"
    );
    detail::add_extension(
        certificate,
        issuer_certificate,
        NID_key_usage,
        request.is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"
    );
    if (!request.names.empty()) {
        detail::add_extension(certificate, issuer_certificate, NID_subject_alt_name, request.names);
    }
    MESH_ASSERT(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
    TestCertificate made{
        .certificate =
            detail::to_pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate); }),
        .key = detail::to_pem([&](BIO* out) {
            return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
        })
    };
    if (issuer != nullptr) {
        X509_free(issuer_certificate);
        EVP_PKEY_free(issuer_key);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    return made;
}

}  // namespace datapunk::mesh::io
