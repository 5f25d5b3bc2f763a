#pragma once

// Problem: one thing that is wrong with a file, and where. All of them are told at once.

#include <string>
#include <vector>

namespace datapunk::mesh::tree {

struct Problem {
    std::string file;  // or "env MESH_…"
    int line = 0;      // from 1; 0 = no line
    int column = 0;    // from 1
    std::string path;  // "listeners[0].port"; empty = the whole file
    std::string text;  // what is wrong, and what would be right
    std::string hint;  // "did you mean …", or empty

    friend bool operator==(const Problem&, const Problem&) = default;
};

// One line each, "file:line:column: path: text (hint)", after a line that counts them.
std::string render_problems(const std::vector<Problem>& problems);

}  // namespace datapunk::mesh::tree
