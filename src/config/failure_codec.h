#pragma once

// StatusSet in the configuration: a list of classes, statuses and ranges (5xx, 429, 500-504).
// Private to the room.

#include "config/codecs.h"

namespace datapunk::mesh::config {

template <>
struct Codec<StatusSet> {
    static Shape shape();
    static void read(StatusSet& to, const ReadSpot& spot);
    static Tree write(const StatusSet& from);
};

}  // namespace datapunk::mesh::config
