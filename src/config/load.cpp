#include "config/load.h"

#include <algorithm>

#include "config/tables.h"

namespace datapunk::mesh::config {

namespace {

Tree merged_files(const std::vector<SourceText>& files, std::vector<Problem>& problems) {
    Tree merged = Tree::of(Tree::Kind::map);
    for (const SourceText& file : files) {
        const Tree tree = parse_yaml(file.name, file.text, problems);
        if (tree.kind == Tree::Kind::null) continue;
        if (tree.kind != Tree::Kind::map) {
            problems.push_back(problem_at(tree.place, "", "must be a map of settings"));
            continue;
        }
        if (merged.place.is_default()) merged.place = tree.place;
        merge(merged, tree, MergeLists::append);
    }
    return merged;
}

// A service's settings are laid over the defaults before anything has a type: only here is a field
// that was not set still different from one that was set to the default.
void give_defaults_to_services(Tree& root, std::string_view key) {
    const Tree* defaults = root.find("defaults");
    const Tree* common = defaults == nullptr ? nullptr : defaults->find(key);
    Tree* services = root.find("services");
    if (common == nullptr || services == nullptr || services->kind != Tree::Kind::map) return;
    for (Tree::Entry& service : services->map) {
        if (service.value.kind == Tree::Kind::null) service.value.kind = Tree::Kind::map;
        if (service.value.kind != Tree::Kind::map) continue;
        Tree own = *common;
        if (Tree* mine = service.value.find(key)) {
            merge(own, *mine, MergeLists::replace);
            *mine = std::move(own);
        } else {
            service.value.add(std::string(key), std::move(own));
        }
    }
}

// A mistake in `defaults` is inherited by every service: told once, as that
// of `defaults`, wherever in the file that stands.
void drop_repeated(std::vector<Problem>& problems) {
    std::vector<Problem> kept;
    for (Problem& problem : problems) {
        const auto told = std::find_if(kept.begin(), kept.end(), [&](const Problem& other) {
            return problem.line > 0 && other.file == problem.file && other.line == problem.line &&
                   other.column == problem.column && other.text == problem.text;
        });
        if (told == kept.end()) {
            kept.push_back(std::move(problem));
        } else if (problem.path.starts_with("defaults.")) {
            *told = std::move(problem);  // by the name of the key that is wrong
        }
        if (kept.size() >= 1000) break;  // nobody reads more; and this is quadratic
    }
    problems = std::move(kept);
}

// Whether one of the paths stands for a part of the other: "routes[0]" and "routes[0].service".
bool overlap(std::string_view a, std::string_view b) {
    if (a.size() > b.size()) std::swap(a, b);
    return b.starts_with(a) &&
           (a.empty() || a.size() == b.size() || b[a.size()] == '.' || b[a.size()] == '[');
}

// What does not hang together is told in the same breath as what cannot be read, except where the
// one may follow from the other: a value that could not be read counts as its default.
void add_semantic_problems(const Config& config, Loaded& loaded) {
    std::vector<Problem> more;
    check_semantics(config, loaded.tree, more);
    const std::size_t read_problems = loaded.problems.size();
    for (Problem& problem : more) {
        const auto told = std::find_if(
            loaded.problems.begin(),
            loaded.problems.begin() + static_cast<std::ptrdiff_t>(read_problems),
            [&](const Problem& earlier) { return overlap(earlier.path, problem.path); }
        );
        if (told == loaded.problems.begin() + static_cast<std::ptrdiff_t>(read_problems)) {
            loaded.problems.push_back(std::move(problem));
        }
    }
}

}  // namespace

Loaded load(const Sources& sources) {
    Loaded loaded;
    loaded.tree = merged_files(sources.files, loaded.problems);
    overlay_environment(loaded.tree, config_table(), sources.environment, loaded.problems);
    give_defaults_to_services(loaded.tree, "policy");
    give_defaults_to_services(loaded.tree, "tls");
    const SecretSources secrets{&sources.environment, sources.read_secret_file};
    Reader reader{loaded.problems, secrets};
    Config config;
    read_table(config_table(), &config, loaded.tree, "", reader);
    add_semantic_problems(config, loaded);
    drop_repeated(loaded.problems);
    if (loaded.problems.empty()) loaded.config = std::move(config);
    return loaded;
}

}  // namespace datapunk::mesh::config
