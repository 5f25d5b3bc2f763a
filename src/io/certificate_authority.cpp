#include "io/certificate_authority.h"

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>

#include "io/address.h"

namespace datapunk::mesh::io {

namespace {

using X509Ptr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;

constexpr std::string_view kScheme = "spiffe://";
// Clocks differ: what was issued just now must be good at a peer that is a little behind.
constexpr Duration kBackdated = std::chrono::minutes(5);

Error failed(std::string_view what) {
    const unsigned long code = ERR_get_error();
    const char* reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return {
        .code = Code::invalid,
        .what = reason == nullptr ? std::string(what) : fmt::format("{}: {}", what, reason)
    };
}

bool add_extension(X509& to, X509& issuer, int id, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, &issuer, &to, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    if (extension == nullptr) return false;
    const bool added = X509_add_ext(&to, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

template <class Write>
std::string pem_of(Write write) {
    const BioPtr out(BIO_new(BIO_s_mem()), &BIO_free);
    if (write(out.get()) != 1) return {};
    char* data = nullptr;
    const long bytes = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(std::max(bytes, 0L))};
}

std::time_t seconds_of(WallTime time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// 127 random bits: never twice, never negative.
bool set_serial(X509& certificate) {
    std::array<unsigned char, 16> bytes{};
    if (RAND_bytes(bytes.data(), bytes.size()) != 1) return false;
    bytes[0] &= 0x7fU;
    BIGNUM* number = BN_bin2bn(bytes.data(), bytes.size(), nullptr);
    const bool set = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate)) != nullptr;
    BN_free(number);
    return set;
}

struct Signing {
    X509* issuer = nullptr;  // null: itself
    EVP_PKEY* issuer_key = nullptr;
    std::string common_name;
    std::vector<std::pair<int, std::string>> extensions;
    WallTime begins;
    WallTime ends;
};

Result<IssuedCertificate> sign(const Signing& how) {
    const KeyPtr key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    const X509Ptr made(X509_new(), &X509_free);
    if (key == nullptr || made == nullptr || !set_serial(*made)) return failed("no key");
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_TIME_set(X509_getm_notBefore(made.get()), seconds_of(how.begins));
    ASN1_TIME_set(X509_getm_notAfter(made.get()), seconds_of(how.ends));
    X509_set_pubkey(made.get(), key.get());
    const auto* name = reinterpret_cast<const unsigned char*>(how.common_name.c_str());
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8, name, -1, -1, 0
    );
    X509& issuer = how.issuer == nullptr ? *made : *how.issuer;
    X509_set_issuer_name(made.get(), X509_get_subject_name(&issuer));
    for (const auto& [id, value] : how.extensions) {
        if (!add_extension(*made, issuer, id, value))
            return failed(fmt::format("\"{:.200}\" cannot stand in a certificate", value));
    }
    EVP_PKEY* const signer = how.issuer_key == nullptr ? key.get() : how.issuer_key;
    if (X509_sign(made.get(), signer, EVP_sha256()) <= 0) return failed("cannot sign");
    return IssuedCertificate{
        .certificate = pem_of([&](BIO* out) { return PEM_write_bio_X509(out, made.get()); }),
        .private_key = pem_of([&](BIO* out) {
            return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
        }),
        .expires_at = how.ends
    };
}

X509Ptr read_certificate(const std::string& pem) {
    const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
    return {PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), &X509_free};
}

KeyPtr read_key(const std::string& pem) {
    const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
    const auto no_password = [](char*, int, int, void*) { return -1; };
    return {PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr), &EVP_PKEY_free};
}

WallTime end_of(const X509& certificate) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &parts) != 1) return WallTime::min();
    return WallTime(std::chrono::seconds(timegm(&parts)));
}

// A name that would say more than it seems to: "a,URI:spiffe://…" is two.
bool is_plain(std::string_view name) {
    return !name.empty() && name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '-' || c == '_' || c == '*';
    });
}

Result<std::string> alternative_names(const CertificateRequest& request) {
    std::string names = "URI:" + request.spiffe_id;
    for (const std::string& name : request.dns_names) {
        if (!is_plain(name))
            return Error{
                .code = Code::invalid, .what = fmt::format("\"{:.80}\" is no host name", name)
            };
        names += ",DNS:" + name;
    }
    for (const std::string& address : request.addresses) {
        auto parsed = parse_ip(address, 0);
        if (!parsed) return std::move(parsed).error();
        names += ",IP:" + parsed->ip_text();
    }
    return names;
}

}  // namespace

Result<IssuedCertificate> make_authority(
    const std::string& trust_domain, WallTime now, Duration life
) {
    return sign(
        {.issuer = nullptr,
         .issuer_key = nullptr,
         .common_name = fmt::format("{:.40} development authority", trust_domain),
         .extensions =
             {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
              {NID_key_usage, "critical,keyCertSign,cRLSign"},
              {NID_subject_alt_name, fmt::format("URI:{}{}", kScheme, trust_domain)},
              {NID_name_constraints, "critical,permitted;URI:" + trust_domain},
              {NID_subject_key_identifier, "hash"}},
         .begins = now - kBackdated,
         .ends = now + life}
    );
}

Result<std::string> trust_domain_of(const std::string& authority) {
    const X509Ptr certificate = read_certificate(authority);
    if (certificate == nullptr) return failed("not a PEM certificate");
    auto* names = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)
    );
    std::string found;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        found.assign(
            reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.ia5)),
            static_cast<std::size_t>(ASN1_STRING_length(name->d.ia5))
        );
    }
    GENERAL_NAMES_free(names);
    if (!found.starts_with(kScheme))
        return Error{.code = Code::invalid, .what = "the authority has no trust domain"};
    return found.substr(kScheme.size());
}

Result<IssuedCertificate> issue_certificate(
    const std::string& authority,
    const std::string& authority_key,
    const CertificateRequest& request,
    WallTime now
) {
    const X509Ptr issuer = read_certificate(authority);
    if (issuer == nullptr) return failed("the authority's certificate cannot be read");
    const KeyPtr key = read_key(authority_key);
    if (key == nullptr) return failed("the authority's key cannot be read");
    if (X509_check_private_key(issuer.get(), key.get()) != 1)
        return failed("the authority's key does not fit its certificate");
    const WallTime last = end_of(*issuer);
    if (last <= now)
        return Error{.code = Code::invalid, .what = "the authority has expired: make another one"};
    auto names = alternative_names(request);
    if (!names) return std::move(names).error();
    return sign(
        {.issuer = issuer.get(),
         .issuer_key = key.get(),
         .common_name = request.spiffe_id.substr(request.spiffe_id.rfind('/') + 1, 60),
         .extensions =
             {{NID_basic_constraints, "critical,CA:FALSE"},
              {NID_key_usage, "critical,digitalSignature"},
              {NID_ext_key_usage, "serverAuth,clientAuth"},
              {NID_subject_alt_name, *names},
              {NID_subject_key_identifier, "hash"},
              {NID_authority_key_identifier, "keyid:always"}},
         .begins = now - kBackdated,
         .ends = std::min(now + request.life, last)}
    );
}

}  // namespace datapunk::mesh::io
