#pragma once

// The metadata that the mesh itself reads: from ServiceConfig's fields into the metadata and back,
// and whether a value can be. Pure.

#include <datapunk/mesh/registration.h>

#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::core {

// May the metadata have this value under this key? Empty: yes, as may any value of another key.
// Otherwise what is wrong.
std::string meta_problem(std::string_view key, std::string_view value);

// Makes the fields and the metadata of `config` say the same. What is wrong is added to the result.
std::vector<std::string> settle_metadata(ServiceConfig& config);

// The words between commas; none for an empty text.
std::vector<std::string_view> words_of(std::string_view text);

}  // namespace datapunk::mesh::core
