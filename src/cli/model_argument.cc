#include "cli/model_argument.h"

#include <system_error>

namespace localai::cli {

Result<std::filesystem::path> find_model(const std::string& name,
                                         const std::filesystem::path& models_dir) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (name.empty()) return invalid("no model was named");
  for (const fs::path& path : {fs::path(name), models_dir / name, models_dir / (name + ".gguf")})
    if (fs::exists(path, ignored)) return path;
  fs::recursive_directory_iterator entry(models_dir, ignored), end;
  for (; !ignored && entry != end; entry.increment(ignored))
    if (entry->path().stem() == name && entry->path().extension() == ".gguf") return entry->path();
  return not_found("model '" + name + "': no such file, and nothing of that name in " +
                   models_dir.string() + " (try `localai list`)");
}

}  // namespace localai::cli
