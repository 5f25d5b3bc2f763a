#pragma once

// A certificate authority for development: one self-signed certificate, and what it signs for
// workloads, as X509-SVIDs (exactly one SPIFFE id, P-256, no authority to sign further). Blocking;
// for the command line. Keys are drawn from the kernel's randomness.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <string>
#include <vector>

namespace datapunk::mesh::io {

struct IssuedCertificate {
    std::string certificate;  // PEM
    std::string private_key;  // PEM, PKCS #8, not encrypted
    WallTime expires_at;
};

// The authority of "mesh.example", which can vouch for spiffe://mesh.example/… and no other.
Result<IssuedCertificate> make_authority(
    const std::string& trust_domain, WallTime now, Duration life
);

struct CertificateRequest {
    std::string spiffe_id;               // in the authority's trust domain
    std::vector<std::string> dns_names;  // for clients that check names
    std::vector<std::string> addresses;  // IP literals
    Duration life = std::chrono::hours(24);
};

// The authority is given as make_authority() made it. A life that would outlast it is cut.
Result<IssuedCertificate> issue_certificate(
    const std::string& authority,
    const std::string& authority_key,
    const CertificateRequest& request,
    WallTime now
);

// "mesh.example", of an authority's certificate.
Result<std::string> trust_domain_of(const std::string& authority);

}  // namespace datapunk::mesh::io
