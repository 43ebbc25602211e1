#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "base/check.h"

namespace localai {
namespace {

// Closes a descriptor on every path out of a function.
struct Descriptor {
  int fd;
  explicit Descriptor(int value) : fd(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  int release() { return std::exchange(fd, -1); }
};

Error system_error(const std::filesystem::path& path, const char* what) {
  const int code = errno;
  return {code == ENOENT || code == ENOTDIR ? Code::kNotFound : Code::kInternal,
          path.string() + ": " + what + ": " + std::strerror(code)};
}

// The same for a file being written: a full disk is not our fault.
Error write_error(const std::filesystem::path& path, const char* what) {
  const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
  Error error = system_error(path, what);
  if (full) error.code = Code::kExhausted;
  return error;
}

Result<uint64_t> regular_file_size(int fd, const std::filesystem::path& path) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return system_error(path, "stat");
  if (!S_ISREG(info.st_mode)) return invalid(path.string() + ": not a regular file");
  return static_cast<uint64_t>(info.st_size);
}

}  // namespace

Result<Mapping> Mapping::open(const std::filesystem::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return system_error(path, "open");
  LAI_TRY(const uint64_t size, regular_file_size(file.fd, path));
  if (size == 0) return invalid(path.string() + ": the file is empty");
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) return system_error(path, "mmap");
  return Mapping(static_cast<const std::byte*>(data), size, file.release());
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

bool Mapping::holds(std::span<const std::byte> part) const {
  const std::less_equal<> before;
  return data_ != nullptr && before(data_, part.data()) &&
         before(part.data() + part.size(), data_ + size_);
}

Status Mapping::read(std::span<const std::byte> part, std::byte* out) const {
  LAI_CHECK(holds(part));
  const auto offset = static_cast<uint64_t>(part.data() - data_);
  for (size_t done = 0; done < part.size();) {
    const ssize_t got =
        ::pread(fd_, out + done, part.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{Code::kInternal, std::string("read: ") + std::strerror(errno)};
    if (got == 0)
      return corrupt("the file ends at byte " + std::to_string(offset + done) +
                     "; it was longer when it was opened");
    done += static_cast<size_t>(got);
  }
  return Ok{};
}

uint64_t Mapping::resident_bytes() const {
  if (data_ == nullptr) return 0;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((size_ + page - 1) / page);
  if (::mincore(const_cast<std::byte*>(data_), size_, pages.data()) != 0) return 0;
  uint64_t resident = 0;
  for (const unsigned char p : pages) resident += p & 1u;
  return resident * page;
}

void Mapping::release_pages(std::span<const std::byte> part) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(part.data()) + part.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Result<std::string> read_file(const std::filesystem::path& path, uint64_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return system_error(path, "open");
  LAI_TRY(const uint64_t size, regular_file_size(file.fd, path));
  if (size > bytes_max)
    return invalid(path.string() + ": " + std::to_string(size) + " bytes, over the limit of " +
                   std::to_string(bytes_max));
  std::string text(size, '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t got = ::read(file.fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path, "read");
    if (got == 0) {
      text.resize(done);
      break;
    }
    done += static_cast<size_t>(got);
  }
  return text;
}

Result<NewFile> NewFile::create(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  int fd = ::open(parent.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  std::string temporary;
  if (fd < 0) {  // overlay and network file systems may not have nameless files
    temporary = path.string() + ".XXXXXX";
    fd = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (fd < 0) return system_error(path, "create a temporary file");
  }
  return NewFile(path, std::move(temporary), fd);
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::exchange(other.fd_, -1)) {}

NewFile& NewFile::operator=(NewFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(fd_, other.fd_);
  return *this;
}

NewFile::~NewFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status NewFile::reserve(uint64_t bytes) {
  if (bytes == 0 || ::fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0)
    return Ok{};
  if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG) return Ok{};
  return write_error(path_, ("claim " + std::to_string(bytes) + " bytes").c_str());
}

Status NewFile::append(std::span<const std::byte> bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t put = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return write_error(path_, "write");
    done += static_cast<size_t>(put);
  }
  return Ok{};
}

Status NewFile::commit() {
  if (::fchmod(fd_, 0644) != 0 || ::fsync(fd_) != 0) return write_error(path_, "sync");
  if (temporary_.empty()) {
    static std::atomic<uint64_t> count = 0;
    std::string name = path_.string() + "." + std::to_string(::getpid()) + "-" +
                       std::to_string(count.fetch_add(1)) + ".new";
    const std::string self = "/proc/self/fd/" + std::to_string(fd_);
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0)
      return write_error(path_, "give the new file a name");
    temporary_ = std::move(name);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return write_error(path_, "rename into place");
  temporary_.clear();
  return Ok{};
}

Status write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  LAI_TRY(NewFile file, NewFile::create(path));
  LAI_TRY_STATUS(file.append(bytes));
  return file.commit();
}

}  // namespace localai
