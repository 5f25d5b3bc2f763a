#pragma once

// The process's environment as a map: read once, at the edge; everything below takes it as a value.

#include <map>
#include <string>

namespace datapunk::mesh::apps {

std::map<std::string, std::string> process_environment();

}  // namespace datapunk::mesh::apps
