#include "io/frame_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace datapunk::mesh::io {
namespace {

TEST(FramePoolTest, FramesOfEverySizeAreDisjointAndReusable) {
    for (int round = 0; round < 3; ++round) {
        std::vector<std::pair<void*, std::size_t>> frames;
        for (std::size_t bytes : {1U, 63U, 64U, 65U, 4'095U, 4'096U, 4'097U, 100'000U}) {
            for (int i = 0; i < 600; ++i) {  // more than the pool keeps of a size
                void* frame = allocate_frame(bytes);
                std::memset(frame, static_cast<int>(frames.size() % 251), bytes);
                frames.emplace_back(frame, bytes);
            }
        }
        for (std::size_t i = 0; i < frames.size(); ++i) {
            const auto* bytes = static_cast<const unsigned char*>(frames[i].first);
            ASSERT_EQ(bytes[0], i % 251);
            ASSERT_EQ(bytes[frames[i].second - 1], i % 251);
            free_frame(frames[i].first, frames[i].second);
        }
    }
}

TEST(FramePoolTest, AFrameMayBeFreedOnAnotherThreadAndWhileAThreadEnds) {
    struct FreesLate {
        ~FreesLate() { free_frame(frame, 100); }

        void* frame = nullptr;
    };

    void* made_here = allocate_frame(200);
    std::thread other([made_here] {
        thread_local FreesLate late;  // dies after the pool's own guard
        late.frame = allocate_frame(100);
        free_frame(made_here, 200);
    });
    other.join();
}

}  // namespace
}  // namespace datapunk::mesh::io
