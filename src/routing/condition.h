#pragma once

// Conditions: what a route asks of headers and query parameters, compiled. Pure.
//
// Thread rule: immutable values. Cost: a walk over the fields or parameters for each condition,
// nothing allocated (but for a parameter that is compared by a regular expression and is escaped).

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/pattern.h"
#include "routing/route.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::routing {

class Condition {
  public:
    // What is wrong with the match, if anything is.
    static Result<Condition> create(const ValueMatch& match);

    bool is_met_by_fields(std::span<const wire::http1::Field> fields) const noexcept;
    // `query` without its '?'. Names and values are compared decoded ("%41" = "A", "+" = " "); an
    // escape that is none stands for itself.
    bool is_met_by_query(std::string_view query) const;

  private:
    enum class Kind : std::uint8_t { present, absent, exact, prefix, regex };

    bool fits(std::string_view value) const noexcept;
    bool fits_escaped(std::string_view value) const;

    std::string name_;
    std::string text_;
    Pattern pattern_;
    Kind kind_ = Kind::present;
};

}  // namespace datapunk::mesh::routing
