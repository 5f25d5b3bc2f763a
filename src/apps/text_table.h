#pragma once

// TextTable: aligned columns for people and `awk`. Cells without control characters, so that what a
// registry answers cannot move a terminal's cursor.

#include <string>
#include <vector>

namespace datapunk::mesh::apps {

class TextTable {
  public:
    explicit TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

    // As many cells as the header has.
    void add(std::vector<std::string> cells);

    std::string text() const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace datapunk::mesh::apps
