#include "apps/text_table.h"

#include <algorithm>

#include "core/assert.h"

namespace datapunk::mesh::apps {

void TextTable::add(std::vector<std::string> cells) {
    MESH_ASSERT(cells.size() == rows_.front().size());
    for (std::string& cell : cells) {
        for (char& c : cell) {
            const auto byte = static_cast<unsigned char>(c);
            if (byte < 0x20 || byte == 0x7f) c = '?';
        }
        if (cell.empty()) cell = "-";
    }
    rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
    std::vector<std::size_t> widths(rows_.front().size());
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            out += row[i];
            if (i + 1 < row.size()) out.append(widths[i] - row[i].size() + 2, ' ');
        }
        out += '\n';
    }
    return out;
}

}  // namespace datapunk::mesh::apps
