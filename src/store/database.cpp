#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace datapunk::mesh::store {

namespace {

Error failure(sqlite3* handle, std::string_view tried) {
    const int code = sqlite3_extended_errcode(handle);
    const int kind = code & 0xff;
    return {
        .code = kind == SQLITE_FULL || kind == SQLITE_IOERR || kind == SQLITE_BUSY
                    ? Code::unavailable
                    : Code::internal,
        .what = fmt::format("{}: {} (SQLite {})", tried, sqlite3_errmsg(handle), code),
        .retryable = kind == SQLITE_FULL || kind == SQLITE_IOERR,
    };
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* handle) const {
    sqlite3_finalize(handle);
}

Statement& Statement::bind(int parameter, std::uint64_t value) {
    sqlite3_bind_int64(handle_.get(), parameter, static_cast<sqlite3_int64>(value));
    return *this;
}

Statement& Statement::bind_blob(int parameter, std::string_view bytes) {
    // A null pointer would be bound as NULL.
    const char* data = bytes.empty() ? "" : bytes.data();
    sqlite3_bind_blob64(handle_.get(), parameter, data, bytes.size(), SQLITE_STATIC);
    return *this;
}

Result<bool> Statement::step() {
    const int code = sqlite3_step(handle_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) {
        sqlite3_reset(handle_.get());
        return false;
    }
    Error error = failure(sqlite3_db_handle(handle_.get()), sqlite3_sql(handle_.get()));
    sqlite3_reset(handle_.get());
    return error;
}

Result<> Statement::run() {
    for (;;) {
        Result<bool> row = step();
        if (!row) return std::move(row).error();
        if (!*row) return Ok{};
    }
}

bool Statement::is_integer(int column) const {
    return sqlite3_column_type(handle_.get(), column) == SQLITE_INTEGER;
}

bool Statement::is_blob(int column) const {
    return sqlite3_column_type(handle_.get(), column) == SQLITE_BLOB;
}

std::uint64_t Statement::integer(int column) const {
    return static_cast<std::uint64_t>(sqlite3_column_int64(handle_.get(), column));
}

std::string_view Statement::blob(int column) const {
    const void* data = sqlite3_column_blob(handle_.get(), column);
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column));
    return data == nullptr ? std::string_view()
                           : std::string_view(static_cast<const char*>(data), size);
}

void Database::Close::operator()(sqlite3* handle) const {
    sqlite3_close_v2(handle);
}

Result<Database> Database::open(const std::string& path, bool create) {
    sqlite3* raw = nullptr;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                      (create ? SQLITE_OPEN_CREATE : 0);
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    Database database(raw);
    if (code != SQLITE_OK) return failure(raw, "open");
    return database;
}

Result<> Database::execute(const char* sql) {
    if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) return Ok{};
    return failure(handle_.get(), sql);
}

Result<Statement> Database::prepare(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    const int code =
        sqlite3_prepare_v3(handle_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    if (code != SQLITE_OK) return failure(handle_.get(), sql);
    return Statement(raw);
}

Result<std::string> Database::ask(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(handle_.get(), sql, -1, &raw, nullptr) != SQLITE_OK) {
        return failure(handle_.get(), sql);
    }
    Statement statement(raw);
    Result<bool> row = statement.step();
    if (!row) return std::move(row).error();
    if (!*row) return std::string();
    const unsigned char* text = sqlite3_column_text(raw, 0);
    return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text));
}

bool Database::in_transaction() const {
    return sqlite3_get_autocommit(handle_.get()) == 0;
}

bool Database::lost_certainty() const {
    const int code = sqlite3_extended_errcode(handle_.get());
    return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC ||
           (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

}  // namespace datapunk::mesh::store
