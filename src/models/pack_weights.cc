#include "models/pack_weights.h"

#include <algorithm>
#include <vector>

#include "formats/checkpoint.h"
#include "kernels/packed.h"
#include "models/bind.h"

namespace localai::models {
namespace {

constexpr uint64_t kAlignment = kernels::kLineBytes;
// Packed and given back at a time: so much of a matrix is in memory twice, on each thread.
constexpr size_t kPieceBytes = 1 << 20;

struct Target {
  Matrix* matrix;
  uint64_t experts;  // matrices of that shape
  [[nodiscard]] uint64_t source_bytes() const { return experts * matrix->rows * matrix->row_bytes; }
  [[nodiscard]] uint64_t expert_bytes() const {
    return kernels::packed_bytes(matrix->rows, matrix->row_bytes);
  }
  [[nodiscard]] uint64_t bytes() const {
    return (experts * expert_bytes() + kAlignment - 1) / kAlignment * kAlignment;
  }
};

// In the order of the file. Matrices that only rows are looked up in stay as they are: the
// embedding unless it is the head.
std::vector<Target> choose_targets(const ArchSpec& spec, const Hyperparameters& hyper,
                                   const kernels::KernelSet& kernels, Weights& weights) {
  std::vector<Target> targets;
  const auto add = [&](Matrix* matrix, uint64_t experts) {
    const bool known = std::any_of(targets.begin(), targets.end(),
                                   [&](const Target& t) { return t.matrix == matrix; });
    if (matrix != nullptr && matrix->data != nullptr && !known && matrix->quantized_input &&
        kernels.matmul_packed[static_cast<size_t>(matrix->dtype)] != nullptr)
      targets.push_back({matrix, experts});
  };
  for (const TensorRow& row : spec.tensors) {
    const bool per_layer = row.slot.index() >= 2;
    for (uint32_t layer = 0; layer < (per_layer ? hyper.layers : 1u); ++layer) {
      Matrix* matrix = matrix_of(row.slot, layer, weights);
      if (matrix != &weights.embedding && matrix != &weights.positions &&
          matrix != &weights.token_types && matrix != &weights.head)
        add(matrix, row.per_expert ? hyper.experts : 1);
    }
  }
  add(&weights.head, 1);
  sort_by_address(targets);
  return targets;
}

// Packs panels one after the other and gives their source back, a piece at a time.
class PanelPacker {
 public:
  PanelPacker(const Matrix& matrix, const kernels::KernelSet& kernels, const std::byte* from,
              std::byte* to)
      : matrix_(matrix),
        pack_panel_(kernels.pack_panel[static_cast<size_t>(matrix.dtype)]),
        panel_bytes_(kernels::kPanelRows * matrix.row_bytes),
        from_(from),
        to_(to) {}

  [[nodiscard]] size_t piece() const { return std::max<size_t>(kPieceBytes / panel_bytes_, 1); }

  void run(size_t begin, size_t end) const {
    std::vector<std::byte> rows(in_place() ? panel_bytes_ : 0);
    for (size_t p = begin; p < end; ++p) {
      const std::byte* source = from_ + p * panel_bytes_;
      const size_t count = std::min(kernels::kPanelRows, matrix_.rows - p * kernels::kPanelRows);
      if (in_place()) {
        std::copy_n(source, count * matrix_.row_bytes, rows.data());
        source = rows.data();
      }
      pack_panel_(source, matrix_.row_bytes, count, matrix_.cols, to_ + p * panel_bytes_);
      if ((p + 1) % piece() == 0 || p + 1 == end) release(p + 1 - std::min(piece(), p + 1), p + 1);
    }
  }

 private:
  [[nodiscard]] bool in_place() const { return from_ == to_; }
  void release(size_t begin, size_t end) const {
    if (in_place()) return;
    const size_t rows_end = std::min(end * kernels::kPanelRows, matrix_.rows);
    formats::Checkpoint::release_pages(
        {from_ + begin * panel_bytes_, from_ + rows_end * matrix_.row_bytes});
  }

  const Matrix& matrix_;
  void (*pack_panel_)(const std::byte*, size_t, size_t, size_t, std::byte*);
  const size_t panel_bytes_;
  const std::byte* from_;
  std::byte* to_;
};

void pack(const Target& target, const kernels::KernelSet& kernels, ThreadPool& pool,
          std::byte* out) {
  const Matrix& matrix = *target.matrix;
  const size_t panels = (matrix.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
  for (uint64_t e = 0; e < target.experts; ++e) {
    const std::byte* from = matrix.expert(e).data;
    std::byte* to = out + e * target.expert_bytes();
    const PanelPacker packer(matrix, kernels, from, to);
    pool.for_ranges(panels, packer.piece(),
                    [&](size_t begin, size_t end) { packer.run(begin, end); });
    // Once more in one piece, for the pages that two pieces share.
    if (from != to) formats::Checkpoint::release_pages({from, matrix.rows * matrix.row_bytes});
  }
}

}  // namespace

PackedWeights plan_packing(const ArchSpec& spec, const Hyperparameters& hyper,
                           const kernels::KernelSet& kernels, Weights& weights) {
  PackedWeights plan;
  for (const Target& target : choose_targets(spec, hyper, kernels, weights)) {
    plan.bytes += target.bytes();
    plan.mapped_bytes += target.source_bytes();
  }
  return plan;
}

struct WeightPacker::Work {
  const kernels::KernelSet& kernels;
  Weights& weights;
  std::vector<Target> targets;  // from `at` on, not yet packed
  bool in_place, tied;
  size_t at = 0;
  std::byte* out = nullptr;  // where the next one's panels go, unless in place
};

WeightPacker::WeightPacker(std::unique_ptr<Work> work) : work_(std::move(work)) {}
WeightPacker::WeightPacker(WeightPacker&& other) noexcept = default;
WeightPacker& WeightPacker::operator=(WeightPacker&& other) noexcept = default;
WeightPacker::~WeightPacker() = default;

Result<WeightPacker> WeightPacker::create(const ArchSpec& spec, const Hyperparameters& hyper,
                                          const kernels::KernelSet& kernels, bool in_place,
                                          Weights& weights) {
  auto work = std::make_unique<Work>(Work{.kernels = kernels,
                                          .weights = weights,
                                          .targets = choose_targets(spec, hyper, kernels, weights),
                                          .in_place = in_place,
                                          .tied = weights.tied()});
  if (!in_place) {
    uint64_t total = 0;
    for (const Target& target : work->targets) total += target.bytes();
    LAI_TRY(PageRegion panels, PageRegion::reserve(total, "packed weights"));
    weights.private_bytes += total;
    work->out = panels.data();
    weights.copies.push_back(std::move(panels));
  }
  return WeightPacker(std::move(work));
}

bool WeightPacker::next(ThreadPool& pool) {
  Work& work = *work_;
  if (work.at == work.targets.size()) return false;
  const Target& target = work.targets[work.at++];
  Matrix& matrix = *target.matrix;
  std::byte* out = work.in_place ? const_cast<std::byte*>(matrix.data) : work.out;
  pack(target, work.kernels, pool, out);
  if (!work.in_place) work.out += target.bytes();
  if (matrix.expert_bytes != 0) matrix.expert_bytes = target.expert_bytes();
  matrix.data = out;
  matrix.packed = true;
  matrix.matmul = work.kernels.matmul_packed[static_cast<size_t>(matrix.dtype)];
  if (work.tied && &matrix == &work.weights.head) work.weights.embedding = work.weights.head;
  return true;
}

}  // namespace localai::models
