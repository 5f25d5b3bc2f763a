#pragma once

// ExchangeBuffers: the memory that one exchange needs and the next one uses again, so that a
// request allocates nothing in steady state and an idle connection holds none. BufferShelf keeps
// them between exchanges; one loop's object.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/connection_info.h"
#include "wire/http1/message.h"
#include "wire/http2/head_block.h"

namespace datapunk::mesh::proxy {

struct ExchangeBuffers {
    wire::http1::RequestHead request;
    wire::http1::ResponseHead answer;
    std::string out;           // towards whom a head is being written
    std::string tail;          // framing behind a piece of the answer
    std::string pump_frame;    // framing before and behind a piece of the request,
    std::string pump_tail;     // which flows at the same time
    std::string request_body;  // collected, to be sent as often as needed
    std::string traceparent;
    const ConnectionInfo* from = nullptr;
    std::string endpoint;         // asked last; for the access log
    std::string deadline_header;  // of the policy that the attempt began under
    std::string scratch;
    wire::http2::FieldList fields;    // a head of HTTP/2 on its way out
    wire::http2::FieldList trailers;  // towards the caller
    wire::http2::FieldList request_trailers;
};

class BufferShelf {
  public:
    // Gives them back when it ends.
    class Lease {
      public:
        explicit Lease(BufferShelf& shelf) : shelf_(shelf), buffers_(shelf.take()) {}

        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;

        ~Lease() { shelf_.put(std::move(buffers_)); }

        ExchangeBuffers& operator*() const noexcept { return *buffers_; }

        ExchangeBuffers* operator->() const noexcept { return buffers_.get(); }

      private:
        BufferShelf& shelf_;
        std::unique_ptr<ExchangeBuffers> buffers_;
    };

    BufferShelf() { shelf_.reserve(kKeptMax); }

    // Half of what has not been needed since the last time goes back to the heap. Call about once a
    // second.
    void sweep() {
        shelf_.erase(shelf_.begin(), shelf_.begin() + static_cast<std::ptrdiff_t>(unused_ / 2));
        unused_ = shelf_.size();
    }

    std::size_t size() const noexcept { return shelf_.size(); }

  private:
    // ~10 KiB each.
    static constexpr std::size_t kKeptMax = 512;
    // A collected body may have been larger: that memory is not kept.
    static constexpr std::size_t kBodyBytesKept = 16UL * 1024;

    std::unique_ptr<ExchangeBuffers> take() {
        if (shelf_.empty()) return std::make_unique<ExchangeBuffers>();
        auto buffers = std::move(shelf_.back());
        shelf_.pop_back();
        unused_ = std::min(unused_, shelf_.size());
        return buffers;
    }

    void put(std::unique_ptr<ExchangeBuffers> buffers) {
        if (shelf_.size() >= kKeptMax) return;
        if (buffers->request_body.capacity() > kBodyBytesKept) buffers->request_body = {};
        shelf_.push_back(std::move(buffers));
    }

    std::vector<std::unique_ptr<ExchangeBuffers>> shelf_;
    std::size_t unused_ = 0;  // the fewest that lay here since the last sweep
};

}  // namespace datapunk::mesh::proxy
