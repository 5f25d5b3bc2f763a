#pragma once

// Which run of a process something belongs to: "BOOT.NAMESPACE.PID.START", from /proc. Unique among
// all processes of all machines; says whether that run is over, as far as the kernel can tell.

#include <string>
#include <string_view>

namespace datapunk::mesh::io {

// Of this process; empty if /proc cannot be read.
std::string incarnation();

enum class Life { alive, dead, unknown };

// `unknown`: of another boot, another machine or another pid namespace, or not an incarnation.
Life life_of(std::string_view incarnation);

std::string host_name();  // "localhost" if it has none

}  // namespace datapunk::mesh::io
