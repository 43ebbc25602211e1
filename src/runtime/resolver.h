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

// A model that may answer for a domain.
struct Candidate {
  std::string name;  // as the config calls it
  Target target;     // `domain` is the candidate's own; null: a model named directly
  std::optional<SkippedCandidate> skip;  // set: it cannot answer, and why
  Error error{Code::kInternal, ""};      // the same as an error
};

// Who may answer a request, in order.
struct Candidates {
  const Domain* domain = nullptr;  // that was asked; null: a model was named directly, and there is
                                   // no fallback
  std::string route;               // as in Resolution
  std::string route_reason = {};   // as in Resolution
  std::vector<Candidate> list;     // never empty; none twice
};

struct ResolverOptions {
  std::filesystem::path models_dir = "models";
  ModelStores stores;            // of other programs; none by default
  engine::EngineOptions engine;  // context_length 0: by the domains, else 2048
  const models::QuantizationType* quantize = nullptr;  // of every model; null: by the domains
  bool vaultgemma_fallback = true;    // VaultGemma is the last fallback of every domain
  std::string transformers_base_url;  // of the models that the native engine cannot run; "": a
                                      // service that this program starts
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
  // The same with everything that may take its place: the domain's model, its fallbacks, the
  // default domain, its fallbacks, VaultGemma. With `allowed`, ids of domains, whatever else would
  // take its place is skipped as "not_allowed". Errors: kNotFound (unknown name; a model named
  // directly is not there).
  [[nodiscard]] Result<Candidates> candidates(const std::string& name,
                                              const AllowedDomains& allowed = {}) const;
  // The domain part of the look-up alone; null when no domain has that name.
  [[nodiscard]] const Domain* find_domain(const std::string& name) const;
  // Where a domain's weights are; of a model that its config gives to a service: its identity.
  // Errors: kNotFound.
  [[nodiscard]] Result<std::filesystem::path> model_of(const Domain& domain) const;
  // A model on disk that was named directly: here, or in a Transformers service when the native
  // engine does not have its architecture.
  [[nodiscard]] ModelSource source_of(const ModelFile& file) const;

  [[nodiscard]] const DomainConfig& config() const { return config_; }
  [[nodiscard]] const ModelCatalog& catalog() const { return catalog_; }

 private:
  void add_domain(const Domain& domain, const AllowedDomains& allowed, Candidates& out) const;
  void add_named(const std::string& name, const AllowedDomains& allowed, Candidates& out) const;
  void add_vaultgemma(const AllowedDomains& allowed, Candidates& out) const;
  [[nodiscard]] Result<ModelFile> find_model(const std::string& name) const;
  [[nodiscard]] ModelSource source_for(const std::filesystem::path& path) const;
  // The model of a service that has to answer for `path`; nothing when the native engine can.
  [[nodiscard]] Result<std::optional<ServiceModel>> service_for(const std::filesystem::path& path,
                                                                const std::string& name,
                                                                const Domain* domain) const;

  DomainConfig config_;
  ResolverOptions options_;
  ModelCatalog catalog_;
  std::vector<std::filesystem::path> domain_files_;  // canonical, by index; empty: not found
};

}  // namespace localai::runtime
