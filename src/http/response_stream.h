#pragma once

// ResponseStream: an answer whose body is read as it comes, for watches that may never end. Comes
// from Client::stream(); destroying it closes the connection. One loop's object.

#include <datapunk/mesh/result.h>

#include <memory>
#include <string>
#include <vector>

#include "http/message.h"
#include "http/message_reader.h"
#include "io/network.h"
#include "io/task.h"

namespace datapunk::mesh::http {

class ResponseStream {
  public:
    ResponseStream(io::StreamPtr stream, std::size_t head_bytes_max);

    int status() const noexcept { return response_.status; }

    std::string_view header(std::string_view name) const noexcept { return response_.header(name); }

    // The next bytes of the body; empty once, at its proper end. A body that breaks off is an
    // error. Not after the end.
    io::Task<Result<std::string>> next(Instant deadline);
    // What is left of a body that does end: Code::exhausted beyond `bytes_max`.
    io::Task<Result<std::string>> rest(std::size_t bytes_max, Instant deadline);

  private:
    friend class Client;

    io::StreamPtr stream_;
    MessageReader reader_;
    Response response_;  // without its body
};

}  // namespace datapunk::mesh::http
