#pragma once

// HeadBlock: one decoded header block of HTTP/2 (a head or trailers) as it comes, field by field,
// and then as the heads that the rest of the house speaks of, whatever the protocol. What could be
// read in two ways once it is text again is refused here: nghttp2 has checked the order and number
// of pseudo-header fields, names, values and content-length; this checks targets, authorities and
// what stands in for Host. FieldList: a block on its way out.
//
// Views in a head point into the block and live as long as it is not cleared. One thread's object;
// no allocation once its memory has grown. Source: RFC 9113 8.2, 8.3.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/http1/message.h"

namespace datapunk::mesh::wire::http2 {

struct BlockLimits {
    std::size_t bytes_max = 60UL * 1024;  // as RFC 9113 10.5.1 counts: 32 for each field on top
    std::size_t fields_max = 100;
};

class HeadBlock {
  public:
    void clear() noexcept;
    // Beyond the limits fields are counted and not kept.
    void add(std::string_view name, std::string_view value, const BlockLimits& limits);

    std::size_t bytes() const noexcept { return bytes_; }  // seen, kept or not

    // The whole block has come.
    http1::Reject to_request(http1::RequestHead& out, bool ended);
    http1::Reject to_response(http1::ResponseHead& out, http1::Method asked, bool ended);
    http1::Reject to_trailers(std::vector<http1::Field>& out);

    int status() const noexcept;  // of a response; 0 if there is none

  private:
    struct Entry {
        std::uint32_t at = 0;  // in text_: name, then value
        std::uint32_t name_bytes = 0;
        std::uint32_t value_bytes = 0;
    };

    std::string_view name(const Entry& entry) const noexcept;
    std::string_view value(const Entry& entry) const noexcept;
    std::string_view pseudo(std::string_view wanted) const noexcept;
    void join_cookies();
    http1::Reject fill(http1::Head& out);

    std::string text_;
    std::vector<Entry> entries_;
    std::size_t bytes_ = 0;
    http1::Reject over_ = http1::Reject::none;
};

// Names in lower case, whatever they were. Pseudo-header fields first.
class FieldList {
  public:
    struct Entry {
        std::uint32_t at = 0;
        std::uint32_t name_bytes = 0;
        std::uint32_t value_bytes = 0;
        bool indexed = true;
    };

    void clear() noexcept {
        text_.clear();
        entries_.clear();
    }

    // `indexed` false: differs every time, so that remembering it (HPACK) would only push out
    // others.
    void add(std::string_view name, std::string_view value, bool indexed = true);
    void add(std::string_view name, std::uint64_t value);

    bool empty() const noexcept { return entries_.empty(); }

    const std::string& text() const noexcept { return text_; }

    const std::vector<Entry>& entries() const noexcept { return entries_; }

  private:
    std::string text_;
    std::vector<Entry> entries_;
};

}  // namespace datapunk::mesh::wire::http2
