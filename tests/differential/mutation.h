#pragma once

// Messages to compare parsers on: those of tests/scenarios/http1_corpus.py, and what a seed makes
// of them by changing a few places each. The same seed gives the same messages.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "reading.h"

namespace datapunk::mesh::differential {

struct Sample {
    Kind kind = Kind::request;
    std::string bytes;
};

// Lines of "request" or "response" and hexadecimal digits. Empty if it cannot be read.
std::vector<Sample> load_corpus(const std::string& path);

// One of them with one to four changes: bytes and pieces of the grammar put in, taken out or
// doubled, lines exchanged with another one's.
Sample mutated(const std::vector<Sample>& corpus, core::Rng& rng);

}  // namespace datapunk::mesh::differential
