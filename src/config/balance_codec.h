#pragma once

// BalanceConfig, a variant, is written as one map for every algorithm. In balance_tables.cpp.

#include <datapunk/mesh/balancing.h>

#include "config/codecs.h"

namespace datapunk::mesh::config {

template <>
struct Codec<BalanceConfig> {
    static Shape shape();
    static void read(BalanceConfig& to, const ReadSpot& spot);
    static Tree write(const BalanceConfig& from);
};

}  // namespace datapunk::mesh::config
