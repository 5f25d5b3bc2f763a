#pragma once

// gRPC-Web: gRPC for callers that see no trailers, such as pages in browsers. Messages are framed
// as in gRPC; the trailers are one more frame behind them; "-text" is all of that in base64, in
// pieces that may be padded each. Pure functions.
//
// Source: grpc/doc/PROTOCOL-WEB.md.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wire/http1/message.h"

namespace datapunk::mesh::wire::grpc {

struct WebType {
    bool is_text = false;
    std::string_view rest;  // "", "+proto", ";charset=utf-8": as gRPC's own type goes on
};

// Of "application/grpc-web…" and "application/grpc-web-text…"; nothing for others.
std::optional<WebType> web_type(std::string_view content_type) noexcept;

// How the answer is to be encoded: as Accept says, else as the request was.
bool wants_text(std::string_view accept, const WebType& request) noexcept;

// The frame that ends an answer: flag 0x80, length, lines of the fields.
void append_trailer_frame(std::string& out, std::span<const http1::Field> trailers);

// Base64 that arrives in pieces. Padding ends a group of four, and others may follow.
class Base64Stream {
  public:
    // Appends what is whole. False: it is not base64, and nothing more can be made of it.
    [[nodiscard]] bool decode(std::string_view text, std::string& out);

    // It may end here.
    bool is_whole() const noexcept { return digits_ + pads_ == 0; }

  private:
    std::uint32_t bits_ = 0;
    std::uint8_t digits_ = 0;  // of the group that is being read
    std::uint8_t pads_ = 0;
};

}  // namespace datapunk::mesh::wire::grpc
