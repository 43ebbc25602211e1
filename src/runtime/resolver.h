#pragma once
// A name becomes a model: domain id, agent id or its short form, alias, model name, path.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/domain_config.h"
#include "runtime/model_cache.h"
#include "runtime/model_catalog.h"
#include "runtime/service.h"

namespace localai::runtime {

inline constexpr uint32_t kDefaultContext = 2048;

struct Target {
  const Domain* domain =
      nullptr;  // null: a model was named directly. Lives as long as the Resolver
  ModelSource source;
  Resolution resolution;
};

struct ResolverOptions {
  std::filesystem::path models_dir = "models";
  ModelStores stores;            // of other programs; none by default
  engine::EngineOptions engine;  // context_length 0: by the domains, else 2048
  bool any_path = false;  // the command line may name any path; a client only what is below the
                          // config's folder, the working directory or the models directory
};

// Immutable; thread-safe. Where a domain's file is was looked up once; what was missing then, and
// models named directly, are looked up on disk on every call.
class Resolver {
 public:
  Resolver(DomainConfig config, ResolverOptions options);

  // "" and "auto" are the default domain. Errors: kNotFound (unknown name; a domain's file is not
  // there), kUnsupported (the domain asks for what this build has not).
  [[nodiscard]] Result<Target> resolve(const std::string& name) const;
  // The domain part of the look-up alone; null when no domain has that name.
  [[nodiscard]] const Domain* find_domain(const std::string& name) const;
  // Where a domain's weights are. Errors: kNotFound.
  [[nodiscard]] Result<std::filesystem::path> model_of(const Domain& domain) const;

  [[nodiscard]] const DomainConfig& config() const { return config_; }
  [[nodiscard]] const ModelCatalog& catalog() const { return catalog_; }

 private:
  [[nodiscard]] Result<ModelFile> find_model(const std::string& name) const;
  [[nodiscard]] ModelSource source_for(const std::filesystem::path& path) const;

  DomainConfig config_;
  ResolverOptions options_;
  ModelCatalog catalog_;
  std::vector<std::filesystem::path> domain_files_;  // canonical, by index; empty: not found
};

}  // namespace localai::runtime
