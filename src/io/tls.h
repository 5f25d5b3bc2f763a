#pragma once

// TLS over any Stream, by OpenSSL with memory BIOs: OpenSSL never sees a descriptor, so TLS runs
// over simulated streams too. TLS >= 1.2, forward secrecy only, no renegotiation, no compression.
//
//     user -- write_some --> SSL --> out BIO -- flush --> inner stream
//     user <-- read_some --- SSL <-- in BIO  <-- fill --- inner stream
//
// A write is done when its record has gone to the inner stream, so that close() loses nothing that
// was reported as written. An inner stream that ends without close_notify is an error (truncation).
//
// Sessions are resumed by tickets only: a server keeps nothing per client. Ticket keys belong to
// their context, so that a context made from other files takes no old session.
//
// TlsContext: immutable, shared by any threads. TlsStream and TlsSessions: one loop's.

#include <datapunk/mesh/time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/network.h"
#include "io/stream.h"
#include "io/task.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace datapunk::mesh::io {

enum class TlsVersion : std::uint8_t { tls12, tls13 };

// Each certificate and key is PEM text or the path of a PEM file.
struct TlsIdentity {
    std::string certificate_chain;  // ours first
    std::string private_key;
};

struct TlsServerConfig {
    std::string certificate_chain;  // what clients see whose name (SNI) none of `more` is for
    std::string private_key;
    std::vector<TlsIdentity> more;  // exact names before wildcards; several key types of one name
    std::string client_ca;          // not empty: a client must present a certificate signed by it
    bool client_certificate_optional = false;  // or may; one that is presented must be good
    std::vector<std::string> alpn;  // in order of preference; a client that shares none is refused
    TlsVersion min_version = TlsVersion::tls12;
};

struct TlsClientConfig {
    std::string ca;                 // or a directory of PEM files; empty: the system's roots
    bool verify_peer = true;        // false only for debugging: anybody may answer
    std::string certificate_chain;  // for servers that ask for one
    std::string private_key;
    std::vector<std::string> alpn;  // in order of preference
    TlsVersion min_version = TlsVersion::tls12;
    // Not empty: the certificate must have one URI, one of these, instead of the host's name.
    std::vector<std::string> peer_uris;
};

// Why a handshake failed, for counting.
enum class TlsFailure : std::uint8_t {
    none,
    timeout,
    closed,           // the peer went away in the middle
    not_tls,          // something else was spoken: plain HTTP, garbage
    version,          // the peer offers only versions that we do not
    cipher,           // nor a common cipher, group or signature
    alpn,             // nor a common protocol above
    no_certificate,   // the peer showed none and must
    distrusted,       // the peer's certificate is not good, or not for whom we want
    refused_by_peer,  // an alert: most often it does not trust our certificate
    other
};

std::string_view to_string(TlsFailure failure) noexcept;

class TlsContext {
  public:
    static Result<std::shared_ptr<const TlsContext>> server(const TlsServerConfig& config);
    static Result<std::shared_ptr<const TlsContext>> client(const TlsClientConfig& config);
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;
    ~TlsContext();

    // Until when the first of our certificates to expire is good; WallTime::max(): we have none.
    WallTime expires_at() const noexcept { return expires_at_; }

    // Since when it is: with expires_at(), the length of its life.
    WallTime valid_from() const noexcept { return valid_from_; }

    // No two contexts of a process have the same.
    std::uint64_t id() const noexcept { return id_; }

  private:
    friend class TlsStream;
    struct NamedIdentity;

    explicit TlsContext(bool is_server);
    Result<> load_identity(const std::string& chain, const std::string& key);
    Result<> load_more(const std::vector<TlsIdentity>& more);
    void note_life(const void* certificate);
    void set_min_version(TlsVersion version);
    void verify_peer_uris(std::vector<std::string> uris);
    Result<> trust(const std::string& ca);
    Result<> trust_directory(const std::string& directory);
    Result<> set_alpn(const std::vector<std::string>& protocols);

    ssl_ctx_st* context_;
    bool is_server_;
    std::uint64_t id_;
    std::string alpn_;  // length-prefixed names, as on the wire
    std::vector<NamedIdentity> more_;
    std::vector<std::string> peer_uris_;
    WallTime expires_at_ = WallTime::max();
    WallTime valid_from_ = WallTime::min();
};

// Who the other side has proved to be.
struct TlsPeer {
    std::string subject;             // RFC 2253: "CN=web,O=Example"; empty: no certificate
    std::vector<std::string> names;  // "DNS:web.example", "URI:spiffe://mesh/web", "IP:10.0.0.1"
    std::string sha256;              // of the certificate, in hexadecimal digits
    bool is_leaf = false;  // may sign handshakes, but neither certificates nor revocation lists
};

// What a client's connections have learned for the next ones to the same server: session tickets.
// A ticket of TLS 1.3 is used once (RFC 8446 C.4). Outlives its streams (they share it).
class TlsSessions {
  public:
    TlsSessions() = default;
    TlsSessions(const TlsSessions&) = delete;
    TlsSessions& operator=(const TlsSessions&) = delete;
    ~TlsSessions();

    // How many servers it knows tickets of.
    std::size_t servers() const noexcept { return tickets_.size(); }

  private:
    friend class TlsStream;

    static constexpr std::size_t kServersMax = 1024;  // then it forgets all: some 2 MB
    static constexpr std::size_t kTicketsMax = 4;     // of one server: it sends two a connection

    void put(const std::string& server, ssl_session_st* session);
    ssl_session_st* take(const std::string& server);

    std::unordered_map<std::string, std::vector<ssl_session_st*>> tickets_;
};

class TlsStream final : public Stream {
  public:
    static std::unique_ptr<TlsStream> server(
        StreamPtr inner, const std::shared_ptr<const TlsContext>& context
    );
    // `host` (a name or an IP literal) is what the certificate must be for; a name goes out as SNI.
    static std::unique_ptr<TlsStream> client(
        StreamPtr inner, const std::shared_ptr<const TlsContext>& context, const std::string& host
    );
    ~TlsStream() override;

    // Resumes a session of `server` (address and name, say), and keeps what this one learns for the
    // next. A client's, before its handshake.
    void resume(const std::shared_ptr<TlsSessions>& sessions, const std::string& server);

    // Offers these protocols, in this order, instead of the context's. A client's, before its
    // handshake.
    void offer(const std::vector<std::string>& protocols);

    // Once, before anything else. Code::denied: the peer's certificate does not convince.
    Task<Result<>> handshake(Instant deadline);

    TlsFailure failure() const noexcept { return failure_; }  // of the handshake

    bool is_resumed() const noexcept;
    std::string_view alpn() const;         // the agreed protocol, or empty
    std::string_view server_name() const;  // that the client asked for (SNI), or empty
    std::string_view version() const;
    TlsPeer peer_identity() const;

    IoResult read_some(std::span<char> into) override;
    IoResult write_some(const iovec* pieces, std::size_t count) override;
    bool maybe_readable() override;
    void set_reader(IoWaiter* waiter) override;
    void set_writer(IoWaiter* waiter) override;
    void shutdown_write() override;
    void close() override;
    void reset() override;

    SocketAddress peer() const override { return inner_->peer(); }

    SocketAddress local() const override { return inner_->local(); }

    Loop& loop() override { return inner_->loop(); }

    std::string explain(int error) const override;

  private:
    struct OnWritable final : IoWaiter {
        explicit OnWritable(TlsStream& owner) : stream(owner) {}

        void retry() override { stream.on_writable(); }

        TlsStream& stream;
    };

    TlsStream(StreamPtr inner, std::shared_ptr<const TlsContext> context);

    // OpenSSL's callbacks.
    static int choose_identity(ssl_st* ssl, void* context);
    static int keep_session(ssl_st* ssl, ssl_session_st* session);
    static int check_peer_uri(int good_so_far, void* store);

    bool has_expired_peer() const;
    Error handshake_error(int ssl_error);
    Error handshake_ended(Error error, TlsFailure failure);
    IoResult failed(int ssl_error);
    IoResult fill();   // inner -> in BIO
    IoResult flush();  // out BIO -> inner; would_block: on_writable() goes on
    IoResult encrypt(const iovec* pieces, std::size_t count, std::size_t skipped);
    void on_writable();
    void watch_inner_writable();

    StreamPtr inner_;
    std::shared_ptr<const TlsContext> context_;
    ssl_st* ssl_;
    OnWritable on_writable_;
    IoWaiter* writer_ = nullptr;
    bool watching_ = false;
    bool established_ = false;
    bool closed_ = false;
    bool finish_when_flushed_ = false;
    std::size_t unreported_ = 0;  // encrypted, not yet flushed, not yet reported as written
    int error_ = 0;               // of the TLS session or of reading
    int write_error_ = 0;  // the answer that the peer sent before it closed can still be read
    TlsFailure failure_ = TlsFailure::none;
    std::string problem_;
    std::shared_ptr<TlsSessions> sessions_;
    std::string session_key_;

    friend class TlsContext;
};

}  // namespace datapunk::mesh::io
