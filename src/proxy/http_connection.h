#pragma once

// HttpConnection: one caller's connection: its requests in turn, or what HTTP/2 makes of it. While
// it waits for the next request it holds no buffers. One loop's object.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "core/block_pool.h"
#include "core/intrusive_list.h"
#include "http/message_reader.h"
#include "io/stream.h"
#include "io/task.h"
#include "proxy/connection_info.h"
#include "proxy/exchange_buffers.h"
#include "proxy/replies.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

class Http2Connection;
class Proxy;
struct ListenerState;

class HttpConnection : public core::ListNode {
  public:
    // All of them outlive it.
    HttpConnection(
        Proxy& proxy, ListenerState& listener, io::Stream& stream, const ConnectionInfo& info
    );

    // One comes and goes with each connection.
    static void* operator new(std::size_t bytes) { return core::allocate_block(bytes); }

    static void operator delete(void* memory, std::size_t bytes) noexcept {
        core::free_block(memory, bytes);
    }

    io::Task<void> run();

    // A request that has just arrived is served yet.
    bool is_fresh() const noexcept { return fresh_; }

    bool is_of(const ListenerState& listener) const noexcept { return &listener_ == &listener; }

    void close_if_idle();

    void reset() { stream_.reset(); }

    // Captured, and no route is for its host: the rest of it is not ours.
    bool goes_elsewhere() const noexcept { return goes_elsewhere_; }

    // What had been read of it by then.
    std::string take_early() { return std::move(early_); }

  private:
    bool is_meant_for_others(const wire::http1::RequestHead& request) const;
    io::Task<bool> begins_http2();
    io::Task<void> serve_http2();
    io::Task<bool> serve_one(ExchangeBuffers& buffers);
    io::Task<void> refuse(int status, ReplyReason reason, std::string_view text);
    io::Task<void> linger();

    Proxy& proxy_;
    ListenerState& listener_;
    io::Stream& stream_;
    const ConnectionInfo& info_;
    http::MessageReader reader_;
    Http2Connection* http2_ = nullptr;  // if that is what it speaks
    bool idle_ = true;
    bool fresh_ = true;  // nothing has been read yet
    bool goes_elsewhere_ = false;
    std::string early_;  // read already of what goes elsewhere
};

}  // namespace datapunk::mesh::proxy
