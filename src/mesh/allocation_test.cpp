// Taking a lease and reporting it allocates nothing: counted by this program's own operator new,
// on this thread only.

#include <datapunk/mesh/mesh.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

thread_local std::uint64_t allocations = 0;

void* counted(std::size_t bytes, std::size_t alignment) {
    ++allocations;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (memory == nullptr) std::abort();
    return memory;
}

}  // namespace

void* operator new(std::size_t bytes) {
    return counted(bytes, alignof(std::max_align_t));
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return counted(bytes, static_cast<std::size_t>(alignment));
}

void operator delete(void* memory) noexcept {
    std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}

void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}

namespace datapunk::mesh {
namespace {

TEST(Allocation, LeasesAndReportsAllocateNothing) {
    ServiceMesh mesh =
        ServiceMesh::create(
            {
                .registry =
                    Fixed{
                        .services =
                            {{"api_service",
                              {{.host = "10.0.0.1", .port = 80}, {.host = "10.0.0.2", .port = 80}}}}
                    },
                .log_level = LogLevel::off,
            }
        )
            .value();
    const Service api = mesh.service("api_service").value();
    api.get_service_instance()->report(Outcome::success);  // discovery, this thread's worker
    const std::uint64_t before = allocations;
    for (int i = 0; i < 1000; ++i) {
        api.get_service_instance()->report(Outcome::success, std::chrono::milliseconds(1));
        mesh.get_service_instance("api_service")->report(Outcome::success);
        {
            const auto abandoned = api.get_service_instance();
        }
    }
    EXPECT_EQ(allocations - before, 0U);
}

}  // namespace
}  // namespace datapunk::mesh
