#pragma once

// CorsRules: a CorsPolicy, compiled: which origin may read an answer, and what a browser is told.
// Pure. Fields that are put out point into the rules and into the request.
//
// A browser's question before the request (preflight) is an OPTIONS with Origin and
// Access-Control-Request-Method. Source: Fetch standard, section 3.3 (HTTP CORS protocol).

#include <string>
#include <string_view>
#include <vector>

#include "routing/pattern.h"
#include "routing/route.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::routing {

// The method that a preflight asks for; empty: it is none.
std::string_view preflight_method(const wire::http1::RequestHead& request) noexcept;

class CorsRules {
  public:
    // The policy has no problems (check_route.h).
    explicit CorsRules(const CorsPolicy& policy);

    // The one Origin of the request, if it may read the answer; empty: it may not, or did not ask.
    std::string_view allowed_origin(const std::vector<wire::http1::Field>& fields) const noexcept;

    // What goes with every answer. `origin` is allowed_origin()'s.
    void add_to_answer(std::string_view origin, std::vector<wire::http1::Field>& out) const;
    // In place of what the endpoint said about it: who answers for the policy is this hop.
    static void remove_from_answer(std::vector<wire::http1::Field>& fields);
    // The answer to a preflight of an origin that is allowed.
    void add_to_preflight(
        const wire::http1::RequestHead& request,
        std::string_view origin,
        std::vector<wire::http1::Field>& out
    ) const;

  private:
    void add_origin(std::string_view origin, std::vector<wire::http1::Field>& out) const;

    bool any_origin_ = false;
    bool any_method_ = false;
    bool any_header_ = false;
    bool credentials_ = false;
    std::vector<std::string> origins_;
    std::vector<Pattern> patterns_;
    std::string methods_;  // "GET, HEAD, POST, PUT"
    std::string headers_;
    std::string exposed_;
    std::string max_age_;  // seconds
};

}  // namespace datapunk::mesh::routing
