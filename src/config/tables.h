#pragma once

// config_table(): the table of Config, from which all others are reached.

#include "config/schema.h"

namespace datapunk::mesh::config {

const Table& config_table();

}  // namespace datapunk::mesh::config
