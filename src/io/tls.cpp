#include "io/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace datapunk::mesh::io {

namespace {

constexpr std::size_t kRecordBytes = 16'384;  // the largest TLS record's plaintext
// Records that leave in one write, and what is read at once: bulk costs a quarter of the system
// calls then.
constexpr std::size_t kBatchBytes = 4 * kRecordBytes;

// Alerts that the peer sent: reasons above this number are 1000 + the alert's.
constexpr int kAlertFirst = SSL_AD_REASON_OFFSET;

TlsFailure failure_of(unsigned long code) {
    if (ERR_GET_LIB(code) != ERR_LIB_SSL) return TlsFailure::other;
    const int reason = ERR_GET_REASON(code);
    if (reason > kAlertFirst) return TlsFailure::refused_by_peer;
    switch (reason) {
        case SSL_R_HTTP_REQUEST:
        case SSL_R_HTTPS_PROXY_REQUEST:
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_BAD_RECORD_TYPE:
        case SSL_R_UNEXPECTED_MESSAGE:
        case SSL_R_RECORD_LENGTH_MISMATCH:
        case SSL_R_PACKET_LENGTH_TOO_LONG:
            return TlsFailure::not_tls;
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_VERSION_TOO_LOW:
        case SSL_R_UNKNOWN_PROTOCOL:
            return TlsFailure::version;
        case SSL_R_NO_SHARED_CIPHER:
        case SSL_R_NO_SUITABLE_KEY_SHARE:
        case SSL_R_NO_SUITABLE_GROUPS:
        case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
            return TlsFailure::cipher;
        case SSL_R_NO_APPLICATION_PROTOCOL:
            return TlsFailure::alpn;
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return TlsFailure::no_certificate;
        default:
            return TlsFailure::other;
    }
}

}  // namespace

std::string_view to_string(TlsFailure failure) noexcept {
    static constexpr std::array<std::string_view, 11> kNames = {
        "none",
        "timeout",
        "closed",
        "not_tls",
        "version",
        "cipher",
        "alpn",
        "no_certificate",
        "distrusted",
        "refused_by_peer",
        "other"
    };
    return kNames[static_cast<std::size_t>(failure)];
}

TlsSessions::~TlsSessions() {
    for (const auto& [server, sessions] : tickets_) {
        for (SSL_SESSION* session : sessions) SSL_SESSION_free(session);
    }
}

void TlsSessions::put(const std::string& server, SSL_SESSION* session) {
    if (tickets_.size() >= kServersMax && !tickets_.contains(server)) {
        for (const auto& [other, sessions] : tickets_) {
            for (SSL_SESSION* old : sessions) SSL_SESSION_free(old);
        }
        tickets_.clear();
    }
    auto& sessions = tickets_[server];
    if (sessions.size() >= kTicketsMax) {
        SSL_SESSION_free(sessions.front());
        sessions.erase(sessions.begin());
    }
    sessions.push_back(session);
}

SSL_SESSION* TlsSessions::take(const std::string& server) {
    const auto found = tickets_.find(server);
    if (found == tickets_.end()) return nullptr;
    SSL_SESSION* const session = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) tickets_.erase(found);
    return session;
}

TlsStream::TlsStream(StreamPtr inner, std::shared_ptr<const TlsContext> context)
    : inner_(std::move(inner)),
      context_(std::move(context)),
      ssl_(SSL_new(context_->context_)),
      on_writable_(*this) {
    MESH_ASSERT(ssl_ != nullptr);
    SSL_set_app_data(ssl_, this);
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
    if (!context->peer_uris_.empty()) {  // then it is not the name that is checked
        if (!host.empty() && !parse_ip(host, 0).ok()) SSL_set_tlsext_host_name(ssl, host.c_str());
    } else if (parse_ip(host, 0).ok()) {
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

void TlsStream::resume(const std::shared_ptr<TlsSessions>& sessions, const std::string& server) {
    sessions_ = sessions;
    session_key_ = server;
    SSL_SESSION* const session = sessions_->take(server);
    if (session == nullptr) return;
    SSL_set_session(ssl_, session);
    if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION) {
        sessions_->put(server, session);  // the server need not send another one
    } else {
        SSL_SESSION_free(session);
    }
}

int TlsStream::keep_session(SSL* ssl, SSL_SESSION* session) {
    auto* stream = static_cast<TlsStream*>(SSL_get_app_data(ssl));
    if (stream->sessions_ == nullptr || SSL_SESSION_is_resumable(session) != 1) return 0;
    stream->sessions_->put(stream->session_key_, session);
    return 1;  // it is ours now
}

bool TlsStream::is_resumed() const noexcept {
    return SSL_session_reused(ssl_) == 1;
}

std::string_view TlsStream::server_name() const {
    const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? std::string_view() : std::string_view(name);
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
            if (!sent) co_return handshake_ended(sent.error(), TlsFailure::closed);
        }
        if (done == 1) break;
        if (outcome != SSL_ERROR_WANT_READ) co_return handshake_error(outcome);
        auto got = co_await inner_->read(buffer, deadline);
        if (!got) co_return handshake_ended(got.error(), TlsFailure::closed);
        if (*got == 0) {
            Error gone{
                .code = Code::unavailable,
                .what = fmt::format(
                    "TLS handshake with {}: the peer closed the connection", peer().to_string()
                ),
                .source = context_->is_server_ ? Source::downstream : Source::upstream,
                .retryable = true
            };
            co_return handshake_ended(std::move(gone), TlsFailure::closed);
        }
        BIO_write(SSL_get_rbio(ssl_), buffer.data(), static_cast<int>(*got));
    }
    if (has_expired_peer()) {
        Error expired{
            .code = Code::denied,
            .what = fmt::format(
                "TLS handshake with {}: the certificate of the resumed session has expired",
                peer().to_string()
            ),
            .source = context_->is_server_ ? Source::downstream : Source::upstream
        };
        co_return handshake_ended(std::move(expired), TlsFailure::distrusted);
    }
    established_ = true;
    co_return Ok{};
}

// A session that is resumed has been verified once, maybe hours ago.
bool TlsStream::has_expired_peer() const {
    if (!is_resumed() || SSL_get_verify_mode(ssl_) == SSL_VERIFY_NONE) return false;
    const X509* certificate = SSL_get0_peer_certificate(ssl_);
    return certificate != nullptr && X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0;
}

Error TlsStream::handshake_ended(Error error, TlsFailure failure) {
    failure_ = error.code == Code::timeout ? TlsFailure::timeout : failure;
    return error;
}

Error TlsStream::handshake_error(int ssl_error) {
    const unsigned long code = ERR_peek_error();
    failed(ssl_error);
    const long verdict = SSL_get_verify_result(ssl_);
    const bool distrust = verdict != X509_V_OK;
    failure_ = distrust ? TlsFailure::distrusted : failure_of(code);
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

void TlsStream::offer(const std::vector<std::string>& protocols) {
    std::string list;  // as on the wire
    for (const std::string& name : protocols) {
        MESH_ASSERT(!name.empty() && name.size() < 256);
        list += static_cast<char>(name.size());
        list += name;
    }
    const int failed = SSL_set_alpn_protos(
        ssl_,
        reinterpret_cast<const unsigned char*>(list.data()),
        static_cast<unsigned>(list.size())
    );
    MESH_ASSERT(failed == 0);
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

IoResult TlsStream::fill() {
    char buffer[kBatchBytes];
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
    IoResult encrypted;
    do {
        const IoResult record = encrypt(pieces, count, encrypted.bytes);
        if (record.state != IoResult::State::done) return record;
        if (record.bytes == 0) break;
        encrypted.bytes += record.bytes;
    } while (encrypted.bytes < kBatchBytes);
    const IoResult sent = flush();
    if (sent.state == IoResult::State::would_block) unreported_ = encrypted.bytes;
    return sent.state == IoResult::State::done ? encrypted : sent;
}

// One record, of what follows the first `skipped` bytes; none of nothing. Small pieces (a head and
// its body) share it.
IoResult TlsStream::encrypt(const iovec* pieces, std::size_t count, std::size_t skipped) {
    while (count > 0 && skipped >= pieces->iov_len) {
        skipped -= pieces->iov_len;
        ++pieces;
        --count;
    }
    if (count == 0) return {};
    char gathered[kRecordBytes];
    const char* data = static_cast<const char*>(pieces[0].iov_base) + skipped;
    std::size_t bytes = std::min(pieces[0].iov_len - skipped, kRecordBytes);
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
