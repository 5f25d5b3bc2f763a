#include "io/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace datapunk::mesh::io {

namespace {

constexpr std::size_t kRecordBytes = 16'384;  // the largest TLS record's plaintext

std::string text_of(const ASN1_STRING* value) {
    return {
        reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
        static_cast<std::size_t>(ASN1_STRING_length(value))
    };
}

std::string name_text(const GENERAL_NAME& name) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(&name, &type);
    if (type == GEN_DNS) return "DNS:" + text_of(static_cast<const ASN1_STRING*>(value));
    if (type == GEN_URI) return "URI:" + text_of(static_cast<const ASN1_STRING*>(value));
    if (type != GEN_IPADD) return {};
    const std::string raw = text_of(static_cast<const ASN1_STRING*>(value));
    SocketAddress address{.is_v6 = raw.size() == 16};
    if (raw.size() != 4 && raw.size() != 16) return {};
    std::memcpy(address.ip.data(), raw.data(), raw.size());
    return "IP:" + address.ip_text();
}

std::string subject_of(X509* certificate) {
    BIO* out = BIO_new(BIO_s_mem());
    X509_NAME_print_ex(out, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    char* data = nullptr;
    const long bytes = BIO_get_mem_data(out, &data);
    std::string text(data, static_cast<std::size_t>(std::max(bytes, 0L)));
    BIO_free(out);
    return text;
}

}  // namespace

TlsStream::TlsStream(StreamPtr inner, std::shared_ptr<const TlsContext> context)
    : inner_(std::move(inner)),
      context_(std::move(context)),
      ssl_(SSL_new(context_->context_)),
      on_writable_(*this) {
    MESH_ASSERT(ssl_ != nullptr);
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

std::unique_ptr<TlsStream> TlsStream::server(
    StreamPtr inner, const std::shared_ptr<const TlsContext>& context
) {
    MESH_ASSERT(context->is_server_);
    std::unique_ptr<TlsStream> stream(new TlsStream(std::move(inner), context));
    SSL_set_accept_state(stream->ssl_);
    return stream;
}

std::unique_ptr<TlsStream> TlsStream::client(
    StreamPtr inner, const std::shared_ptr<const TlsContext>& context, const std::string& host
) {
    MESH_ASSERT(!context->is_server_);
    std::unique_ptr<TlsStream> stream(new TlsStream(std::move(inner), context));
    SSL* ssl = stream->ssl_;
    SSL_set_connect_state(ssl);
    if (parse_ip(host, 0).ok()) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
    } else {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        // No name would switch the check off, a leading dot widen it: nothing may match then.
        const bool usable = !host.empty() && host[0] != '.' && host.find('\0') == host.npos;
        const char* expected = usable ? host.c_str() : "no-such-host.invalid";
        MESH_ASSERT(SSL_set1_host(ssl, expected) == 1);
        SSL_set_tlsext_host_name(ssl, expected);
    }
    return stream;
}

TlsStream::~TlsStream() {
    MESH_ASSERT(writer_ == nullptr);
    close();
    SSL_free(ssl_);
}

Task<Result<>> TlsStream::handshake(Instant deadline) {
    std::string buffer(kRecordBytes, '\0');
    for (;;) {
        ERR_clear_error();
        const int done = SSL_do_handshake(ssl_);
        const int outcome = SSL_get_error(ssl_, done);
        if (const std::size_t pending = BIO_ctrl_pending(SSL_get_wbio(ssl_)); pending > 0) {
            std::string out(pending, '\0');
            BIO_read(SSL_get_wbio(ssl_), out.data(), static_cast<int>(pending));
            // Also an alert that says why we refuse, before we report it.
            const auto problem = outcome == SSL_ERROR_SSL ? handshake_error(outcome) : Error{};
            auto sent = co_await inner_->write(Slices(out), deadline);
            if (outcome == SSL_ERROR_SSL) co_return problem;
            if (!sent) co_return sent.error();
        }
        if (done == 1) break;
        if (outcome != SSL_ERROR_WANT_READ) co_return handshake_error(outcome);
        auto got = co_await inner_->read(buffer, deadline);
        if (!got) co_return got.error();
        if (*got == 0) {
            co_return Error{
                .code = Code::unavailable,
                .what = fmt::format(
                    "TLS handshake with {}: the peer closed the connection", peer().to_string()
                ),
                .source = context_->is_server_ ? Source::downstream : Source::upstream,
                .retryable = true
            };
        }
        BIO_write(SSL_get_rbio(ssl_), buffer.data(), static_cast<int>(*got));
    }
    established_ = true;
    co_return Ok{};
}

Error TlsStream::handshake_error(int ssl_error) {
    failed(ssl_error);
    const long verdict = SSL_get_verify_result(ssl_);
    const bool distrust = verdict != X509_V_OK;
    return {
        .code = distrust ? Code::denied : Code::unavailable,
        .what = fmt::format(
            "TLS handshake with {}: {}",
            peer().to_string(),
            distrust ? X509_verify_cert_error_string(verdict) : problem_
        ),
        .source = context_->is_server_ ? Source::downstream : Source::upstream,
        .retryable = false
    };
}

IoResult TlsStream::failed(int ssl_error) {
    if (error_ == 0) {
        const unsigned long code = ERR_get_error();
        const char* reason = ERR_reason_error_string(code);
        problem_ = reason == nullptr ? fmt::format("TLS error {}", ssl_error) : reason;
        error_ = EPROTO;
    }
    ERR_clear_error();
    return {.state = IoResult::State::failed, .error = error_};
}

std::string TlsStream::explain(int error) const {
    return error == error_ && !problem_.empty() ? problem_ : inner_->explain(error);
}

std::string_view TlsStream::alpn() const {
    const unsigned char* name = nullptr;
    unsigned bytes = 0;
    SSL_get0_alpn_selected(ssl_, &name, &bytes);
    return {reinterpret_cast<const char*>(name), bytes};
}

std::string_view TlsStream::version() const {
    return SSL_get_version(ssl_);
}

TlsPeer TlsStream::peer_identity() const {
    TlsPeer peer;
    X509* certificate = SSL_get0_peer_certificate(ssl_);
    if (certificate == nullptr) return peer;
    peer.subject = subject_of(certificate);
    auto* names = static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)
    );
    for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
        std::string text = name_text(*sk_GENERAL_NAME_value(names, i));
        // A zero byte is an old trick to make a name look shorter than it is.
        if (!text.empty() && text.find('\0') == std::string::npos) {
            peer.names.push_back(std::move(text));
        }
    }
    GENERAL_NAMES_free(names);
    return peer;
}

IoResult TlsStream::fill() {
    char buffer[kRecordBytes];
    const IoResult got = inner_->read_some(buffer);
    if (got.state == IoResult::State::failed && error_ == 0) error_ = got.error;
    if (got.state != IoResult::State::done) return got;
    if (got.bytes == 0) {
        if (error_ == 0) {
            error_ = EPROTO;
            problem_ = "the connection was cut: it ended without TLS close_notify";
        }
        return {.state = IoResult::State::failed, .error = error_};
    }
    BIO_write(SSL_get_rbio(ssl_), buffer, static_cast<int>(got.bytes));
    return got;
}

IoResult TlsStream::flush() {
    BIO* out = SSL_get_wbio(ssl_);
    char* data = nullptr;
    for (;;) {
        const long pending = BIO_get_mem_data(out, &data);
        if (pending <= 0) break;
        const iovec piece{.iov_base = data, .iov_len = static_cast<std::size_t>(pending)};
        const IoResult sent = inner_->write_some(&piece, 1);
        if (sent.state != IoResult::State::done) {
            if (sent.state == IoResult::State::failed) write_error_ = sent.error;
            watch_inner_writable();
            return sent;
        }
        // Reading moves the BIO on; the bytes themselves have been sent from where they lie.
        for (std::size_t left = sent.bytes; left > 0;) {
            char skipped[4096];
            const int got =
                BIO_read(out, skipped, static_cast<int>(std::min(left, sizeof skipped)));
            MESH_ASSERT(got > 0);
            left -= static_cast<std::size_t>(got);
        }
    }
    if (std::exchange(finish_when_flushed_, false)) inner_->shutdown_write();
    watch_inner_writable();
    return {};
}

IoResult TlsStream::read_some(std::span<char> into) {
    if (closed_) return {.state = IoResult::State::failed, .error = ECANCELED};
    for (;;) {
        std::size_t got = 0;
        ERR_clear_error();
        const int done = SSL_read_ex(ssl_, into.data(), into.size(), &got);
        if (done == 1) return {.bytes = got};
        const int outcome = SSL_get_error(ssl_, done);
        if (write_error_ == 0) flush();  // answers to key updates, alerts
        if (outcome == SSL_ERROR_ZERO_RETURN) return {};
        if (outcome != SSL_ERROR_WANT_READ) return failed(outcome);
        if (error_ != 0) return {.state = IoResult::State::failed, .error = error_};
        const IoResult more = fill();
        if (more.state != IoResult::State::done) return more;
    }
}

bool TlsStream::maybe_readable() {
    if (closed_) return true;
    for (;;) {
        // Only a peek knows: a session ticket or half a record is nothing to read.
        char byte = 0;
        std::size_t got = 0;
        ERR_clear_error();
        const int done = SSL_peek_ex(ssl_, &byte, 1, &got);
        if (done == 1 || SSL_get_error(ssl_, done) != SSL_ERROR_WANT_READ) return true;
        if (error_ != 0) return true;
        const IoResult more = fill();
        if (more.state != IoResult::State::done) return more.state == IoResult::State::failed;
    }
}

IoResult TlsStream::write_some(const iovec* pieces, std::size_t count) {
    if (closed_) return {.state = IoResult::State::failed, .error = ECANCELED};
    if (const int error = error_ != 0 ? error_ : write_error_; error != 0) {
        return {.state = IoResult::State::failed, .error = error};
    }
    const IoResult flushed = flush();
    if (flushed.state != IoResult::State::done) return flushed;
    if (unreported_ > 0) return {.bytes = std::exchange(unreported_, 0)};
    if ((SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) != 0) {
        return {.state = IoResult::State::failed, .error = EPIPE};
    }
    const IoResult encrypted = encrypt(pieces, count);
    if (encrypted.state != IoResult::State::done) return encrypted;
    const IoResult sent = flush();
    if (sent.state == IoResult::State::would_block) unreported_ = encrypted.bytes;
    return sent.state == IoResult::State::done ? encrypted : sent;
}

// One record. Small pieces (a head and its body) share it.
IoResult TlsStream::encrypt(const iovec* pieces, std::size_t count) {
    char gathered[kRecordBytes];
    const char* data = static_cast<const char*>(pieces[0].iov_base);
    std::size_t bytes = std::min(pieces[0].iov_len, kRecordBytes);
    if (count > 1 && bytes < kRecordBytes) {
        std::memcpy(gathered, data, bytes);
        for (std::size_t i = 1; i < count && bytes < kRecordBytes; ++i) {
            const std::size_t part = std::min(pieces[i].iov_len, kRecordBytes - bytes);
            std::memcpy(gathered + bytes, pieces[i].iov_base, part);
            bytes += part;
        }
        data = gathered;
    }
    std::size_t written = 0;
    ERR_clear_error();
    const int done = SSL_write_ex(ssl_, data, bytes, &written);
    if (done != 1) return failed(SSL_get_error(ssl_, done));
    return {.bytes = written};
}

void TlsStream::set_reader(IoWaiter* waiter) {
    // The inner stream wakes the reader itself: its retry comes back to read_some() here.
    inner_->set_reader(waiter);
}

void TlsStream::set_writer(IoWaiter* waiter) {
    MESH_ASSERT(waiter == nullptr || writer_ == nullptr);
    writer_ = waiter;
    // A writer that gave up will not repeat its bytes: they go out, and the next write is new.
    if (waiter == nullptr) unreported_ = 0;
    watch_inner_writable();
}

void TlsStream::watch_inner_writable() {
    const bool pending = write_error_ == 0 && BIO_ctrl_pending(SSL_get_wbio(ssl_)) > 0;
    const bool wanted = writer_ != nullptr || (pending && !closed_);
    if (wanted == watching_) return;
    watching_ = wanted;
    inner_->set_writer(wanted ? &on_writable_ : nullptr);
}

void TlsStream::on_writable() {
    if (!closed_ && write_error_ == 0) flush();
    if (writer_ != nullptr) writer_->retry();
}

void TlsStream::shutdown_write() {
    if (closed_ || error_ != 0 || write_error_ != 0 || !established_) return;
    ERR_clear_error();
    SSL_shutdown(ssl_);
    finish_when_flushed_ = true;
    flush();
}

void TlsStream::close() {
    if (closed_) return;
    if (established_ && error_ == 0 && write_error_ == 0) {
        ERR_clear_error();
        SSL_shutdown(ssl_);
        flush();
    }
    closed_ = true;
    watch_inner_writable();
    inner_->close();
}

void TlsStream::reset() {
    if (closed_) return;
    closed_ = true;
    watch_inner_writable();
    inner_->reset();
}

}  // namespace datapunk::mesh::io
