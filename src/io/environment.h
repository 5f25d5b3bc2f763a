#pragma once

// The process's environment as a map: read once, at the edge; everything below takes it as a value.

#include <functional>
#include <map>
#include <string>

namespace datapunk::mesh::io {

std::map<std::string, std::string, std::less<>> process_environment();

}  // namespace datapunk::mesh::io
