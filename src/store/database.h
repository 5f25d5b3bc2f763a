#pragma once

// Database: the few calls of SQLite that the store needs, with its errors as Result. Used by one
// thread at a time.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace datapunk::mesh::store {

class Statement {
  public:
    explicit Statement(sqlite3_stmt* handle) : handle_(handle) {}

    // Parameters count from 1. bind_blob does not copy: the bytes must live until step().
    Statement& bind(int parameter, std::uint64_t value);
    Statement& bind_blob(int parameter, std::string_view bytes);
    // True = a row to read. After an error or the last row the statement is ready to run again.
    [[nodiscard]] Result<bool> step();
    [[nodiscard]] Result<> run();  // step() to the end
    bool is_integer(int column) const;
    bool is_blob(int column) const;
    std::uint64_t integer(int column) const;
    std::string_view blob(int column) const;  // until the next step()

  private:
    struct Finalize {
        void operator()(sqlite3_stmt* handle) const;
    };
    std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

class Database {
  public:
    // Opens an existing file, or makes a new one.
    [[nodiscard]] static Result<Database> open(const std::string& path, bool create);

    [[nodiscard]] Result<> execute(const char* sql);
    [[nodiscard]] Result<Statement> prepare(const char* sql);
    // The first column of the first row, as text.
    [[nodiscard]] Result<std::string> ask(const char* sql);
    bool in_transaction() const;
    // The last failure left it open what is on the disk: fsync failed, or the file is corrupt.
    bool lost_certainty() const;

  private:
    struct Close {
        void operator()(sqlite3* handle) const;
    };

    explicit Database(sqlite3* handle) : handle_(handle) {}

    std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace datapunk::mesh::store
