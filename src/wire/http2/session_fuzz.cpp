// A server's session against any bytes, split anywhere: no crash, no growth beyond its limits, and
// every head that it lets through is fit for HTTP/1.1.

#include <cstdint>
#include <cstdlib>

#include "wire/http1/chars.h"
#include "wire/http2/session.h"
#include "wire/http2/test_frames.h"

namespace {

using namespace datapunk::mesh;
using namespace datapunk::mesh::wire;

void require(bool holds) {
    if (!holds) std::abort();
}

void check(const http1::RequestHead& head) {
    require(!head.host.empty() && http1::all_in(head.host, http1::kTarget));
    require(http1::all_in(head.method_text, http1::kToken) && !head.method_text.empty());
    require(http1::all_in(head.path, http1::kTarget));
    for (const http1::Field& field : head.fields) {
        require(http1::all_in(field.name, http1::kToken) && !field.name.empty());
        for (const char c : field.value) require(!http1::is_in(c, http1::kControl));
    }
}

void run(std::string_view bytes, std::size_t step) {
    int owner = 0;
    http2::Session session(http2::Session::Role::server, {.streams_max = 10}, Instant{});
    http2::FieldList ok;
    ok.add(":status", "200");
    std::size_t turn = 0;
    const auto digest = [&] {
        while (http2::H2Stream* const stream = session.next_changed()) {
            if (stream->is_closed()) {
                session.release(*stream, http2::H2Error::no_error);
                continue;
            }
            const std::size_t data = stream->take_data().size();
            session.consume(*stream, data);
            if (stream->owner != nullptr) continue;
            stream->owner = &owner;
            http1::RequestHead head;
            if (stream->head().to_request(head, stream->ended_with_head()) == http1::Reject::none)
                check(head);
            if (++turn % 3 == 0) {
                session.release(*stream, http2::H2Error::internal_error);
            } else if (turn % 3 == 1) {
                session.respond(*stream, ok, false);
                session.release(*stream, http2::H2Error::no_error);
            } else {
                session.respond(*stream, ok, true);
                session.offer(*stream, "hello", true);
                session.pull();
                session.release(*stream, http2::H2Error::no_error);
            }
        }
    };
    require(session.feed(http2::kPreface, Instant{}));
    bool goes_on = true;
    for (std::size_t at = 0; at < bytes.size() && goes_on; at += step) {
        goes_on = session.feed(bytes.substr(at, step), Instant{});
        digest();
        session.pull();
        require(session.output().size() < 256UL * 1024);
        session.output().clear();
        digest();
        require(session.streams() <= 64);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    run(bytes, data[0] % 64 + 1U);
    run(bytes, bytes.size() + 1);
    return 0;
}
