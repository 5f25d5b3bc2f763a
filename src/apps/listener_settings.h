#pragma once

// A listener as the configuration says it, as the proxy wants it.

#include <datapunk/mesh/result.h>

#include "apps/certificates.h"
#include "config/listener_sections.h"
#include "proxy/listener_config.h"

namespace datapunk::mesh::apps {

// `certificates`: what it shows to callers, or null. An error is an address range that is none.
Result<proxy::ListenerConfig> listener_of(
    const config::ListenerSection& section, const Certificates::Slot& certificates
);

}  // namespace datapunk::mesh::apps
