// Taking a lease and reporting it allocates nothing: counted by this program's own operator new,
// on this thread only.

#include <datapunk/mesh/mesh.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "core/test_allocations.h"

namespace datapunk::mesh {
namespace {

TEST(Allocation, LeasesAndReportsAllocateNothing) {
    if (!core::test_allocations::kIsCounting) GTEST_SKIP() << "the sanitizer allocates";
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
    const std::uint64_t before = core::test_allocations::here;
    for (int i = 0; i < 1000; ++i) {
        api.get_service_instance()->report(Outcome::success, std::chrono::milliseconds(1));
        mesh.get_service_instance("api_service")->report(Outcome::success);
        {
            const auto abandoned = api.get_service_instance();
        }
    }
    EXPECT_EQ(core::test_allocations::here - before, 0U);
}

}  // namespace
}  // namespace datapunk::mesh
