// Boost.Beast. It costs 20 s of compile time, so nothing else is in this file.

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/optional.hpp>
#include <limits>

#include "reading.h"

namespace datapunk::mesh::differential {

namespace {

namespace http = boost::beast::http;
using Error = boost::beast::error_code;

std::string text(boost::beast::string_view view) {
    return {view.data(), view.size()};
}

// As string_body, which reserves whatever length is announced.
struct Collected {
    using value_type = std::string;

    class reader {
      public:
        template <bool kIsRequest, class Fields>
        reader(http::header<kIsRequest, Fields>& /*head*/, std::string& out) : out_(out) {}

        void init(const boost::optional<std::uint64_t>& /*length*/, Error& error) { error = {}; }

        template <class Buffers>
        std::size_t put(const Buffers& buffers, Error& error) {
            error = {};
            const std::size_t before = out_.size();
            for (const auto buffer : boost::beast::buffers_range_ref(buffers))
                out_.append(static_cast<const char*>(buffer.data()), buffer.size());
            return out_.size() - before;
        }

        void finish(Error& error) { error = {}; }

      private:
        std::string& out_;
    };
};

template <bool kIsRequest>
Reading read(std::string_view bytes) {
    http::parser<kIsRequest, Collected> parser;
    parser.eager(true);
    parser.header_limit(64 * 1024);
    parser.body_limit(std::numeric_limits<std::uint64_t>::max());
    Error error;
    Reading out;
    while (!parser.is_done()) {
        const auto rest = bytes.substr(out.bytes);
        const std::size_t used = parser.put(boost::asio::buffer(rest.data(), rest.size()), error);
        out.bytes += used;
        if (error || (used == 0 && !parser.is_done())) break;
    }
    if (error == http::error::need_more) error = {};
    if (!error && !parser.got_some()) {
        out.verdict = Reading::Verdict::unfinished;
        return out;
    }
    if (!error && !parser.is_done()) parser.put_eof(error);
    if (error == http::error::partial_message || error == http::error::end_of_stream) {
        out.verdict = Reading::Verdict::unfinished;
        return out;
    }
    if (error) {
        out.why = error.message();
        return out;
    }
    out.verdict = Reading::Verdict::whole;
    const auto& message = parser.get();
    if constexpr (kIsRequest) {
        out.method = text(message.method_string());
        out.target = text(message.target());
    } else {
        out.status = message.result_int();
    }
    out.is_keep_alive = parser.keep_alive();
    out.body = message.body();
    for (const auto& field : message.base())
        out.fields.emplace_back(text(field.name_string()), text(field.value()));
    return out;
}

}  // namespace

Reading read_beast(Kind kind, std::string_view bytes) {
    return kind == Kind::request ? read<true>(bytes) : read<false>(bytes);
}

}  // namespace datapunk::mesh::differential
