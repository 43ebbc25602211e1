#include "engine/prefix_store.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/log.h"

namespace localai::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "LAIKV\0\1\n";
constexpr std::string_view kSuffix = ".kv";

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

Digest digest_of(std::string_view bytes) { return Sha256().add(as_bytes(bytes)).digest(); }

struct Found {
  fs::path path;
  fs::file_time_type used;
  uint64_t bytes = 0;
};

// Files may vanish while the folder is read: another store prunes it too.
std::vector<Found> files_in(const fs::path& folder) {
  std::vector<Found> found;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code gone;
    if (at->path().extension() != kSuffix) continue;
    const uint64_t bytes = at->file_size(gone);
    const fs::file_time_type used = gone ? fs::file_time_type{} : at->last_write_time(gone);
    if (!gone) found.push_back({at->path(), used, bytes});
  }
  return found;
}

}  // namespace

Result<std::unique_ptr<PrefixStore>> PrefixStore::open(Options options, const Digest& identity) {
  std::error_code error;
  if (fs::create_directories(options.folder, error) && !error)
    fs::permissions(options.folder, fs::perms::owner_all, error);  // prompts can be read off KV
  if (error || !fs::is_directory(options.folder, error))
    return invalid("prefix_dir: " + options.folder.string() + " is not a folder" +
                   (error ? ": " + error.message() : ""));
  return std::unique_ptr<PrefixStore>(new PrefixStore(std::move(options), identity));
}

PrefixStore::PrefixStore(Options options, const Digest& identity)
    : options_(std::move(options)),
      identity_(identity),
      unpruned_bytes_(options_.bytes_max),
      writer_([this] { write_copies(); }) {}

PrefixStore::~PrefixStore() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  writer_.join();
}

Digest PrefixStore::root(uint64_t kind) const {
  return Sha256().add(as_text(identity_)).add(kind).digest();
}

Digest PrefixStore::key(const Digest& parent, std::span<const text::TokenId> tokens) const {
  return digest_of(header(parent, tokens));
}

std::string PrefixStore::header(const Digest& parent, std::span<const text::TokenId> tokens) const {
  std::string bytes(kMagic);
  bytes += as_text(identity_);
  bytes += as_text(parent);
  bytes += as_text(std::as_bytes(tokens));
  return bytes;
}

fs::path PrefixStore::path_of(const Digest& key) const {
  std::string name = hex(key);
  const std::string part = name.substr(0, 2);
  return options_.folder / part / (name.append(kSuffix));
}

bool PrefixStore::load(const Digest& parent, std::span<const text::TokenId> tokens,
                       std::span<std::byte> block) {
  const std::string head = header(parent, tokens);
  const fs::path path = path_of(digest_of(head));
  const size_t expected = head.size() + block.size() + sizeof(Digest);
  std::error_code error;
  if (!fs::exists(path, error)) return false;
  const Result<std::string> file = read_file(path, expected);
  const bool whole = file.ok() && file->size() == expected && file->starts_with(head) &&
                     file->ends_with(as_text(
                         digest_of(std::string_view(*file).substr(0, expected - sizeof(Digest)))));
  if (!whole) {
    log::warn("prefix cache: {} is damaged and is deleted", path.string());
    fs::remove(path, error);
    return false;
  }
  std::memcpy(block.data(), file->data() + head.size(), block.size());
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);  // a use, for prune()
  return true;
}

void PrefixStore::save(const Digest& parent, std::span<const text::TokenId> tokens,
                       std::span<const std::byte> block) {
  std::string bytes = header(parent, tokens);
  fs::path path = path_of(digest_of(bytes));
  std::error_code error;
  if (fs::exists(path, error)) return;
  {
    const std::lock_guard lock(mutex_);
    if (queued_bytes_ + bytes.size() + block.size() + sizeof(Digest) > kQueueBytes) return;
    bytes += as_text(block);
    bytes.append(sizeof(Digest), '\0');  // the writer fills it in
    queued_bytes_ += bytes.size();
    copies_.push_back({std::move(path), std::move(bytes)});
  }
  changed_.notify_all();
}

void PrefixStore::flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return copies_.empty() && !writing_; });
}

void PrefixStore::write_copies() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !copies_.empty(); });
    if (copies_.empty()) return;
    Copy copy = std::move(copies_.front());
    copies_.pop_front();
    writing_ = true;
    lock.unlock();
    const size_t body = copy.bytes.size() - sizeof(Digest);
    const Digest sum = digest_of(std::string_view(copy.bytes).substr(0, body));
    std::memcpy(copy.bytes.data() + body, sum.data(), sizeof sum);
    write(copy);
    lock.lock();
    queued_bytes_ -= copy.bytes.size();
    writing_ = false;
    changed_.notify_all();
  }
}

void PrefixStore::write(const Copy& copy) {
  std::error_code error;
  fs::create_directories(copy.path.parent_path(), error);
  unpruned_bytes_ += copy.bytes.size();
  if (unpruned_bytes_ >= options_.bytes_max / 16) prune();
  if (copy.bytes.size() > options_.bytes_max) return;
  const Status done = write_file_atomically(copy.path, as_bytes(copy.bytes));
  if (done.ok() || warned_) return;
  warned_ = true;
  log::warn("prefix cache: {}", done.error().message);
}

// Down to 7/8 of the limit: with what is written until the next time it stays below.
void PrefixStore::prune() {
  unpruned_bytes_ = 0;
  std::vector<Found> files = files_in(options_.folder);
  std::sort(files.begin(), files.end(),
            [](const Found& a, const Found& b) { return a.used < b.used; });
  uint64_t total = 0;
  for (const Found& file : files) total += file.bytes;
  for (const Found& file : files) {
    if (total <= options_.bytes_max / 8 * 7) return;
    std::error_code error;
    fs::remove(file.path, error);
    total -= file.bytes;
  }
}

}  // namespace localai::engine
