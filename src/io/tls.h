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
// TlsContext: immutable, shared by any threads. TlsStream: one loop's, as its inner stream.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/network.h"
#include "io/stream.h"
#include "io/task.h"

struct ssl_st;
struct ssl_ctx_st;

namespace datapunk::mesh::io {

// Each certificate and key is PEM text or the path of a PEM file.
struct TlsServerConfig {
    std::string certificate_chain;  // ours first
    std::string private_key;
    std::string client_ca;          // not empty: a client must present a certificate signed by it
    std::vector<std::string> alpn;  // in order of preference; a client that shares none is refused
};

struct TlsClientConfig {
    std::string ca;                 // or a directory of PEM files; empty: the system's roots
    bool verify_peer = true;        // false only for debugging: anybody may answer
    std::string certificate_chain;  // for servers that ask for one
    std::string private_key;
    std::vector<std::string> alpn;  // in order of preference
};

class TlsContext {
  public:
    static Result<std::shared_ptr<const TlsContext>> server(const TlsServerConfig& config);
    static Result<std::shared_ptr<const TlsContext>> client(const TlsClientConfig& config);
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;
    ~TlsContext();

  private:
    friend class TlsStream;

    explicit TlsContext(bool is_server);
    Result<> load_identity(const std::string& chain, const std::string& key);
    Result<> trust(const std::string& ca);
    Result<> trust_directory(const std::string& directory);
    Result<> set_alpn(const std::vector<std::string>& protocols);

    ssl_ctx_st* context_;
    bool is_server_;
    std::string alpn_;  // length-prefixed names, as on the wire
};

// Who the other side has proved to be.
struct TlsPeer {
    std::string subject;             // RFC 2253: "CN=web,O=Example"; empty: no certificate
    std::vector<std::string> names;  // "DNS:web.example", "URI:spiffe://mesh/web", "IP:10.0.0.1"
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

    // Once, before anything else. Code::denied: the peer's certificate does not convince.
    Task<Result<>> handshake(Instant deadline);

    std::string_view alpn() const;  // the agreed protocol, or empty
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

    Error handshake_error(int ssl_error);
    IoResult failed(int ssl_error);
    IoResult fill();   // inner -> in BIO
    IoResult flush();  // out BIO -> inner; would_block: on_writable() goes on
    IoResult encrypt(const iovec* pieces, std::size_t count);
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
    std::string problem_;
};

}  // namespace datapunk::mesh::io
