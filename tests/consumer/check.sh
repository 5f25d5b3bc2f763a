#!/usr/bin/env bash
# Installs the library into a folder of its own, looks at what it exports, then builds and runs the
# consumer against it: by CMake, and by pkg-config with each compiler that is there.
#   check.sh BUILD_DIR SOURCE_DIR COMPILER
set -euo pipefail
build=$1 here=$2/tests/consumer compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

cmake --install "$build" --prefix "$prefix" --component library >/dev/null
library=$(find "$prefix" -name 'libdatapunk-mesh.so')
soname=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[[ $soname =~ ^libdatapunk-mesh\.so\.[0-9]+$ ]] || { echo "odd soname: $soname"; exit 1; }

foreign=$(nm -D -C --defined-only "$library" | sed 's/^[0-9a-f]* *. //' |
    grep -vE '^((typeinfo|typeinfo name|vtable) for )?datapunk::mesh::|^DATAPUNK_MESH_0' || true)
[[ -z $foreign ]] || { echo "exported, but not ours:"; echo "$foreign" | head; exit 1; }
inner=$(nm -D -C --defined-only "$library" |
    grep -E ' datapunk::mesh::(core|io|policy|registry|discovery|http|wire|metrics|resilience)::' || true)
[[ -z $inner ]] || { echo "exported, but not public:"; echo "$inner" | head; exit 1; }

libdir=$(dirname "$library")
CXX=$compiler cmake -S "$here" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/build" >/dev/null
LD_LIBRARY_PATH=$libdir "$work/build/consumer"

export PKG_CONFIG_PATH=$libdir/pkgconfig
for cxx in g++-12 clang++-19; do
    command -v "$cxx" >/dev/null || continue
    # shellcheck disable=SC2046
    "$cxx" -Wall -Wextra -Werror $(pkg-config --cflags datapunk-mesh) "$here/consumer.cpp" \
        -o "$work/consumer-$cxx" $(pkg-config --libs datapunk-mesh)
    LD_LIBRARY_PATH=$libdir "$work/consumer-$cxx"
done
