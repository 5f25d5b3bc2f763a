#pragma once

// The sections about TLS of listeners and towards endpoints. Part of config.h.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/secret.h"

namespace datapunk::mesh::config {

enum class TlsVersionChoice : std::uint8_t { tls12, tls13 };

enum class ClientCertificate : std::uint8_t { none, optional, required };

struct CertificateSection {
    std::string certificate;
    Secret private_key;
    friend bool operator==(const CertificateSection&, const CertificateSection&) = default;
};

struct ListenerTlsSection {
    std::vector<CertificateSection> certificates;
    std::string client_ca;
    ClientCertificate client_certificate = ClientCertificate::required;
    TlsVersionChoice min_version = TlsVersionChoice::tls12;
    Duration handshake_timeout = std::chrono::seconds(10);
    std::uint32_t handshakes_max = 1'000;
    std::vector<std::string> allow;

    bool is_on() const noexcept { return !certificates.empty(); }

    friend bool operator==(const ListenerTlsSection&, const ListenerTlsSection&) = default;
};

struct ServiceTlsSection {
    bool enabled = false;
    bool verify = true;
    std::string server_name;
    std::vector<std::string> identities;
    std::string ca;
    std::string certificate;
    Secret private_key;
    TlsVersionChoice min_version = TlsVersionChoice::tls12;
    friend bool operator==(const ServiceTlsSection&, const ServiceTlsSection&) = default;
};

}  // namespace datapunk::mesh::config
