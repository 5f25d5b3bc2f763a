// Whatever stands in a file registry's files: no crash; endpoints that a registration could have,
// or one line that says why not.

#include <datapunk/mesh/registration.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "registry/file/services_file.h"

using namespace datapunk::mesh;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    for (const char* name : {"a.yaml", "a.json"}) {
        const auto parsed = registry::file::parse_services_files({{name, text}}, 10);
        if (!parsed) {
            if (parsed.error().what.find('\n') != std::string::npos) std::abort();
            continue;
        }
        if (parsed->size() > 10) std::abort();
        for (const ServiceEndpoint& one : *parsed) {
            if (!check_service_name(one.service) || one.port == 0 || one.id.empty()) std::abort();
        }
    }
    return 0;
}
