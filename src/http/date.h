#pragma once

// http_date: the IMF-fixdate of RFC 9110 5.6.7, "Sat, 21 Nov 2026 03:56:23 GMT". Formatted once a
// second and thread. ~2 ns otherwise.

#include <datapunk/mesh/time.h>

#include <string_view>

namespace datapunk::mesh::http {

// The view is good until the next call on this thread.
std::string_view http_date(WallTime now);

}  // namespace datapunk::mesh::http
