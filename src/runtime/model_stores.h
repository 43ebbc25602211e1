#pragma once
// Models that other programs have downloaded: the Hugging Face cache, Ollama's store, LM Studio's
// folders. Read only, where they lie; nothing is copied and no file is opened but small manifests.
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/model_catalog.h"
#include "runtime/settings.h"

namespace localai::runtime {

// HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, OLLAMA_MODELS and HOME say where. Folders need not exist.
ModelStores stores_of(const Environment& environment);

// What the stores hold, by name: "org/name" (Hugging Face, LM Studio), "name:tag" (Ollama);
// "org/name:file" where a folder holds several GGUF models. The layout is walked to its fixed depth
// and never further, so links that circle end; entries that do not look as the program writes them
// are passed over, and after 20,000 directory entries the rest is.
std::vector<ModelFile> scan_stores(const ModelStores& stores);

}  // namespace localai::runtime
