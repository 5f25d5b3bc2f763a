#pragma once

// ExchangeBuffers: the memory that one exchange needs and the next one uses again, so that a
// request allocates nothing in steady state and an idle connection holds none. BufferShelf keeps
// them between exchanges; one loop's object.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/kept.h"
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

    BufferShelf() { kept_.reserve(); }

    // Call about once a second.
    void sweep() { kept_.sweep(); }

    std::size_t size() const noexcept { return kept_.size(); }

  private:
    // ~10 KiB each.
    static constexpr std::size_t kKeptMax = 512;
    // A collected body may have been larger: that memory is not kept.
    static constexpr std::size_t kBodyBytesKept = 16UL * 1024;

    std::unique_ptr<ExchangeBuffers> take() {
        return kept_.empty() ? std::make_unique<ExchangeBuffers>() : kept_.take();
    }

    void put(std::unique_ptr<ExchangeBuffers> buffers) {
        if (kept_.full()) return;
        if (buffers->request_body.capacity() > kBodyBytesKept) buffers->request_body = {};
        kept_.put(std::move(buffers));
    }

    core::Kept<std::unique_ptr<ExchangeBuffers>> kept_{kKeptMax};
};

}  // namespace datapunk::mesh::proxy
