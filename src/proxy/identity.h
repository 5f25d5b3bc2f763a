#pragma once

// Identity: whom a certificate of ours trusted authorities speaks for, by SPIFFE's rules (one URI,
// which is a SPIFFE id, and a certificate that cannot sign others), and how endpoints are told.

#include <string>

#include "io/tls.h"

namespace datapunk::mesh::proxy {

// The SPIFFE id, or empty: nobody in particular.
std::string identity_of(const io::TlsPeer& peer);

// The value of x-forwarded-client-cert, as Envoy writes it: Hash=…;Subject="…";URI=…. Empty without
// a certificate.
std::string forwarded_certificate(const io::TlsPeer& peer, const std::string& identity);

}  // namespace datapunk::mesh::proxy
