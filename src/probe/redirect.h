#pragma once

// Where a redirect leads. Functions. Source: RFC 9110 10.2.2 and 15.4, RFC 3986 5.2.

#include <datapunk/mesh/result.h>

#include <string_view>

#include "wire/url.h"

namespace datapunk::mesh::probe {

// 301, 302, 303, 307, 308.
bool is_redirect(int status) noexcept;

// `location`, which may be relative, as seen from `from`. Only http and https; at most 8 KiB.
Result<wire::Url> redirect_target(const wire::Url& from, std::string_view location);

}  // namespace datapunk::mesh::probe
