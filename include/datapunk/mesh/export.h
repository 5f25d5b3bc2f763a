#pragma once

// Symbols are hidden unless they carry this mark: an embedder's program sees the public names only.
#define DATAPUNK_MESH_API __attribute__((visibility("default")))
