#pragma once

// FileWatch: says when a file or directory may have changed, however it was done: written in place,
// replaced by a rename, a link on the way to it pointed elsewhere (Kubernetes' config maps). Only a
// hint: who is told reads the file again. Real: KernelFileWatch (inotify); simulated:
// sim::SimFileWatch. One loop's object; one task waits at a time.

#include <datapunk/mesh/result.h>

#include <memory>
#include <string>

#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::io {

class EpollLoop;

class FileWatch {
  public:
    FileWatch(const FileWatch&) = delete;
    FileWatch& operator=(const FileWatch&) = delete;
    virtual ~FileWatch() = default;

    // Until there was a change since the last call that ended with one. Error: Code::timeout.
    Task<Result<>> changed(Instant deadline);

    // Looks again where the path leads. To be called before the file is read: what changes after
    // that is then told. An error says why no change will be told for now (nothing is there, no
    // inotify instances are left): look by yourself from time to time.
    virtual Result<> refresh() = 0;

  protected:
    explicit FileWatch(Loop& loop) : changed_(loop) {}

    void note_change() { changed_.set(); }

  private:
    Event changed_;
};

class KernelFileWatch final : public FileWatch {
  public:
    // Watches the directories that the path goes through; `path` need not exist yet.
    static Result<std::unique_ptr<KernelFileWatch>> create(EpollLoop& loop, std::string path);
    ~KernelFileWatch() override;

    Result<> refresh() override;

  private:
    struct Source;

    KernelFileWatch(EpollLoop& loop, std::unique_ptr<Source> source);

    std::unique_ptr<Source> source_;
};

}  // namespace datapunk::mesh::io
