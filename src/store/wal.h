#pragma once

// check_wal(): is there damage in the middle of a SQLite write-ahead log? SQLite stops at the first
// bad frame and forgets the rest without a word, which is right for the torn tail of a crash and
// wrong for a flipped bit in front of transactions that were acknowledged.
//
//     header | frame frame COMMIT | frame COMMIT | ✗ …
//                                                  └─ another COMMIT of the same generation behind
//                                                     the first one: damage, refused
//
// One unfinished transaction behind the last good one is what a crash leaves: accepted. That a bit
// flipped in the very last transaction of an unclean stop cannot be told from that here; witness.h
// can.
// Source: sqlite.org/fileformat2.html §4.

#include <datapunk/mesh/result.h>

#include <string>

namespace datapunk::mesh::store {

// No file, an empty one and a sound one are all right.
[[nodiscard]] Result<> check_wal(const std::string& path);

}  // namespace datapunk::mesh::store
