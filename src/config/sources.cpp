#include "config/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace datapunk::mesh::config {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSecretBytesMax = 64U << 10U;  // a certificate chain fits
constexpr std::size_t kFilesMax = 1000;

Error cannot(std::string_view path, std::string_view why) {
    return {.code = Code::invalid, .what = fmt::format("cannot read {}: {}", path, why)};
}

Result<std::string> read_all(std::istream& in, std::string_view name, std::size_t bytes_max) {
    std::string text(bytes_max + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) return cannot(name, "reading failed");
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > bytes_max)
        return cannot(name, fmt::format("larger than {} bytes", bytes_max));
    return text;
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
    std::error_code problem;
    if (fs::is_directory(path, problem)) return cannot(path, "it is a directory");
    std::ifstream in(path, std::ios::binary);
    if (!in) return cannot(path, "no such file, or not allowed");
    return read_all(in, path, bytes_max);
}

Result<std::vector<std::string>> files_of(const std::string& directory) {
    std::error_code problem;
    std::vector<std::string> paths;
    for (const auto& entry : fs::directory_iterator(directory, problem)) {
        const std::string extension = entry.path().extension().string();
        if (extension == ".yaml" || extension == ".yml") paths.push_back(entry.path().string());
    }
    if (problem) return cannot(directory, problem.message());
    if (paths.empty()) return cannot(directory, "it has no *.yaml file");
    if (paths.size() > kFilesMax) return cannot(directory, "it has over 1000 files");
    std::sort(paths.begin(), paths.end());
    return paths;
}

}  // namespace

Result<std::vector<SourceText>> read_sources(const std::vector<std::string>& paths) {
    std::vector<SourceText> sources;
    for (const std::string& path : paths) {
        if (path == "-") {
            Result<std::string> text = read_all(std::cin, "standard input", kFileBytesMax);
            if (!text) return text.error();
            sources.push_back({"stdin", std::move(text).value()});
            continue;
        }
        std::error_code problem;
        std::vector<std::string> files = {path};
        if (fs::is_directory(path, problem)) {
            Result<std::vector<std::string>> found = files_of(path);
            if (!found) return found.error();
            files = std::move(found).value();
        }
        for (const std::string& file : files) {
            Result<std::string> text = read_file(file, kFileBytesMax);
            if (!text) return text.error();
            sources.push_back({file, std::move(text).value()});
        }
    }
    return sources;
}

Result<std::string> read_secret_file(const std::string& path) {
    return read_file(path, kSecretBytesMax);
}

}  // namespace datapunk::mesh::config
