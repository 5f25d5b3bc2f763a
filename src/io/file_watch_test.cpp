#include "io/file_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "io/epoll_loop.h"
#include "io/files.h"
#include "sim/run.h"

namespace datapunk::mesh::io {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class FileWatchTest : public testing::Test {
  public:
    // The files' directory has a parent of its own: that is watched too, and in the common one
    // other tests come and go.
    FileWatchTest() {
        std::string pattern = testing::TempDir() + "watch-XXXXXX";
        EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
        directory_ = fs::path(pattern) / "files";
        fs::create_directory(directory_);
    }

    ~FileWatchTest() override { fs::remove_all(directory_.parent_path()); }

    void watch(const fs::path& path) {
        watch_ = *KernelFileWatch::create(*loop_, path);
        const auto looked = watch_->refresh();
        EXPECT_TRUE(looked) << looked.error().what;
    }

    void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

    // What has happened is there at once: the kernel queues it before the call returns.
    bool is_told() {
        const bool told = sim::run_on(*loop_, watch_->changed(loop_->now() + 1s))->ok();
        while (sim::run_on(*loop_, watch_->changed(loop_->now()))->ok()) {
        }
        EXPECT_TRUE(watch_->refresh());
        return told;
    }

    std::unique_ptr<EpollLoop> loop_ = *EpollLoop::create();
    fs::path directory_;
    std::unique_ptr<KernelFileWatch> watch_;
};

TEST_F(FileWatchTest, TellsOfAFileWrittenInPlaceReplacedRemovedAndMadeAnew) {
    const fs::path file = directory_ / "a.yaml";
    write(file, "1");
    watch(file);
    write(file, "2");
    EXPECT_TRUE(is_told());
    ASSERT_TRUE(KernelFiles().write_atomic(file, "3"));
    EXPECT_TRUE(is_told());
    fs::remove(file);
    EXPECT_TRUE(is_told());
    write(file, "4");
    EXPECT_TRUE(is_told());
}

TEST_F(FileWatchTest, SaysNothingWhenNothingHappens) {
    const fs::path file = directory_ / "a.yaml";
    write(file, "1");
    watch(file);
    const auto silence = sim::run_on(*loop_, watch_->changed(loop_->now() + 20ms));
    ASSERT_FALSE(*silence);
    EXPECT_EQ(silence->error().code, Code::timeout);
}

TEST_F(FileWatchTest, FollowsALinkToAFileElsewhere) {
    fs::create_directory(directory_ / "here");
    fs::create_directory(directory_ / "there");
    write(directory_ / "there" / "real.yaml", "1");
    fs::create_symlink("../there/real.yaml", directory_ / "here" / "a.yaml");
    watch(directory_ / "here" / "a.yaml");
    write(directory_ / "there" / "real.yaml", "2");
    EXPECT_TRUE(is_told());
}

// As kubelet does it: a.yaml -> ..data/a.yaml, ..data -> ..1, and ..data is exchanged by a rename.
TEST_F(FileWatchTest, TellsOfAnExchangedConfigMap) {
    fs::create_directory(directory_ / "..1");
    write(directory_ / "..1" / "a.yaml", "1");
    fs::create_symlink("..1", directory_ / "..data");
    fs::create_symlink("..data/a.yaml", directory_ / "a.yaml");
    watch(directory_ / "a.yaml");
    for (const std::string version : {"..2", "..3"}) {
        fs::create_directory(directory_ / version);
        write(directory_ / version / "a.yaml", version);
        fs::create_symlink(version, directory_ / "..data_tmp");
        is_told();  // of the preparations
        fs::rename(directory_ / "..data_tmp", directory_ / "..data");
        EXPECT_TRUE(is_told()) << version;
    }
    write(directory_ / "..3" / "a.yaml", "in place");
    EXPECT_TRUE(is_told());
}

TEST_F(FileWatchTest, WatchesADirectoryAndItsExchange) {
    fs::create_directory(directory_ / "services");
    watch(directory_ / "services");
    write(directory_ / "services" / "a.yaml", "1");
    EXPECT_TRUE(is_told());
    fs::rename(directory_ / "services", directory_ / "old");
    fs::create_directory(directory_ / "services");
    EXPECT_TRUE(is_told());
    write(directory_ / "services" / "b.yaml", "1");
    EXPECT_TRUE(is_told());
}

TEST_F(FileWatchTest, WaitsForWhatIsNotThereYet) {
    watch(directory_ / "a.yaml");
    write(directory_ / "a.yaml", "1");
    EXPECT_TRUE(is_told());
    watch_ = *KernelFileWatch::create(*loop_, "/nowhere/at/all/a.yaml");
    EXPECT_FALSE(watch_->refresh()) << "nothing can be watched: look by yourself";
}

TEST_F(FileWatchTest, ACircleOfLinksEnds) {
    fs::create_symlink("b", directory_ / "a");
    fs::create_symlink("a", directory_ / "b");
    watch(directory_ / "a");
    fs::remove(directory_ / "b");
    EXPECT_TRUE(is_told());
}

}  // namespace
}  // namespace datapunk::mesh::io
