#pragma once

// Filter: an expression of ?filter= made ready for one kind of row: its selectors found, its values
// read as numbers or truth values, its patterns compiled. What go-bexpr refuses is refused in the
// same words.
//
//     text ── parse_filter() ──> tree ── names, operators, values checked ──> Filter ──
//     matches(row)
//
// A row is described by a FilterSchema: its fields' names, types and how to read them; nothing is
// copied. Fields inside a list of records match if any record does.
//
// Patterns are Go's regular expressions: RE2, whose syntax Go's is, in time linear in the text and
// in bounded memory, since anybody who may read may send one. Pure.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/result.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/filter/filter_syntax.h"

namespace re2 {
class RE2;
}

namespace datapunk::mesh::server {

enum class FieldType : std::uint8_t {
    text,
    boolean,
    integer,
    texts,
    text_map,
    record,
    record_map,
    records
};

struct FilterField;
using FilterSchema = std::vector<FilterField>;
using FieldValue = std::
    variant<std::string_view, bool, std::int64_t, const std::vector<std::string>*, const Metadata*>;
using MatchRecord = std::function<bool(const void* record)>;

struct FilterField {
    std::string_view name;
    FieldType type = FieldType::text;
    // Of text, boolean, integer, texts, text_map. The row is what the schema is of.
    FieldValue (*get)(const void* row) = nullptr;
    // Of the others: what is inside. A record reads from the same row.
    const FilterSchema* inner = nullptr;
    std::size_t (*size)(const void* row) = nullptr;                      // record_map, records
    const void* (*at)(const void* row, std::string_view key) = nullptr;  // record_map
    bool (*any)(const void* row, const MatchRecord& matches) = nullptr;  // records
};

class Filter {
  public:
    // The error's text is what Consul puts behind "Failed to create boolean expression evaluator".
    static Result<Filter> compile(std::string_view text, const FilterSchema& schema);

    // `row` is of the schema's type.
    bool matches(const void* row) const;

  private:
    // One step into the row: a field, or a key of the map before it.
    struct Step {
        const FilterField* field = nullptr;
        std::string key;
    };

    struct Match {
        std::vector<Step> path;
        MatchOperator op = MatchOperator::equal;
        std::string text;
        std::int64_t number = 0;  // also a truth value
        std::shared_ptr<const re2::RE2> pattern;
    };

    Filter() = default;
    static Result<Match> prepare(FilterMatch raw, const FilterSchema& schema);
    bool holds(const FilterNode& node, const void* row) const;
    static bool holds(const Match& match, std::size_t step, const void* row);
    static bool holds(const Match& match, const FieldValue& value);

    FilterTree tree_;
    std::vector<Match> matches_;  // by node
};

}  // namespace datapunk::mesh::server
