// A fused program as the CPU runs it: a tape of block loops in phases. Rows are taken in sets: many
// short ones together, a long one in blocks of 1,024 elements that stay in L1. What a phase
// computes for each block may read what the phases before it computed for whole rows; elements that
// a later phase needs are kept for the set, other results for the block.
//
//   fused.cpp         from the FusedSpec to the tape
//   fused_native.cpp  neighbouring instructions of the tape as one compiled loop
//   fused_run.cpp     running it
//   fused_regular.cpp running what is compiled loops throughout
#pragma once
#include <memory>

#include "core/fused.h"
#include "cpu/jit/compile.h"
#include "cpu/jit/memory.h"
#include "cpu/loops.h"

namespace flowbook::cpu {

class FusedCpu : public FusedKernel {
 public:
  // Null if some instruction has no loop.
  static std::unique_ptr<FusedCpu> make(const FusedSpec& spec);

  int64_t workspace() const override { return workspace_; }
  void run(void* const* in, void* const* out, void* workspace) const override;
  bool in_place(int input, int output) const override;
  bool blockwise(int64_t rows, int64_t cols) const override;
  void run_block(void* const* in, void* const* out, void* workspace,
                 const FusedBlock& block) const override;
  void finish_blocks(void* const* in, void* const* out, void* workspace) const override;
  std::string text() const override;

 private:
  static constexpr int64_t kBlock = kSumBlock;      // elements
  static constexpr int64_t kWholeRow = 2 * kBlock;  // rows up to this length are one block
  static constexpr int64_t kChunk = 16 * kBlock;    // most elements of a chunk of the pool
  // Rows up to this length share a block with others, and in programs that are compiled throughout:
  static constexpr int64_t kShare = 256, kShareCompiled = 64;
  static constexpr int64_t kAtOnce = 4 * kBlock;  // elements of longer rows that are a set
  static constexpr int64_t kManyRows = 8;         // in a set: their row values are made together
  static constexpr int kMaxRegisters = 256, kMaxRowFolds = 32;
  static constexpr int64_t kWorthCompiling = 2048;  // elements

  struct Instruction {
    enum Kind : uint8_t { kMap, kFoldColumns, kFoldRows, kFoldTotal } kind = kMap;
    Level level = Level::kElement;
    Loop loop = nullptr;
    RowsFold rows = nullptr;    // folds: of elements along the columns,
    Fold fold = nullptr;        // of partial results,
    ColumnFold join = nullptr;  // and one by one
    int arity = 0, src[3] = {0, 0, 0}, dst = 0;
    int index = -1;                     // among the folds of its kind
    int64_t at = 0;                     // partial results: bytes into the workspace,
    int64_t parts = 0, part_bytes = 0;  // how many, and of columns, how far apart
    int row = -1;                       // of the elementwise table
    bool native = false;                // may be part of a compiled loop
    int segment = -1;                   // of the phase, if it begins one
    bool absorbed = false;              // a map of rows that compiled loops make for themselves
    const char* name = "";
  };
  // Where a register lives while a set of rows is computed.
  enum class Home : uint8_t {
    kInput,
    kBlock,   // a slot of the block
    kSet,     // a slot that holds the set's elements
    kRows,    // a slot for the set's rows
    kOutput,  // the result's memory
    kWhole,   // the workspace, all rows, columns, or the total
    kNone,    // joined into a super-instruction
  };
  struct Register {
    DType dtype;
    Level level;
    int width;
    Home home = Home::kNone;
    int slot = -1;  // of the block or set; or bytes into the rows' slots
    int output = -1;
    int64_t at = 0;                  // bytes into the workspace
    int spread = -1;                 // block slot of a row value repeated for its elements
    int gather = -1;                 // block slot of an input whose blocks are not contiguous
    bool by_elements = false;        // a row value that elements read
    Access access = Access::kDense;  // of inputs
    int64_t period = 1, stride = 0;
  };
  // Element instructions [first, end) of a phase as one compiled loop.
  struct Segment {
    struct Operand {
      jit::Stream kind;
      int id;  // the register, or of folds (kFold, kBoth) the instruction
    };
    size_t first = 0, end = 0, size = 0;  // size: nodes of its graph
    std::vector<Operand> operands;
    std::vector<int> last;  // by operand: the node of the loop that reads or stores it last
    bool sums = false;
    bool past = false;     // writes past the caches
    bool columns = false;  // adds up columns
    int64_t at = 0;        // bytes into the pages
    // Of regular sets, by operand: the register, and the bytes from row to row, within a set and on
    // the way to it.
    std::vector<int> registers;
    std::vector<int64_t> steps, strides;
  };
  struct Phase {
    std::vector<Instruction> elements, rows;
    std::vector<Segment> segments;
    std::vector<int> entering;  // element registers from before the phase
  };
  struct Frame;
  struct Counter;

  bool build(const FusedSpec& spec);
  bool translate(const FusedSpec& spec, std::vector<Instruction>& tape);
  void join(const FusedSpec& spec, size_t k, std::vector<Instruction>& tape,
            const std::vector<int>& uses);
  void choose_sets(const FusedSpec& spec);
  void make_phases(const std::vector<Instruction>& tape);
  void repeat_cheap_maps();
  void assign_homes(const FusedSpec& spec);
  int64_t chunk_elements(const FusedSpec& spec) const;
  void cut(int64_t elements);
  int64_t chunks() const;  // of the pool
  bool can_compile(const FusedInstruction& ins) const;
  void compile();
  bool make_segment(size_t phase, size_t first, size_t end, Segment& s, jit::Graph& graph) const;
  bool goes_past(int r) const;
  std::vector<jit::Ahead> ahead(const Segment& s) const;
  const Instruction* row_map(int r) const;
  void absorb_row_maps();
  bool one_loop() const;

  Frame frame(void* const* in, void* const* out, char* workspace, const FusedBlock* given) const;
  void chunk(Frame& f, int64_t first_row, int64_t end_row) const;
  void repeat_inputs(Frame& f, int64_t rows) const;
  void set(Frame& f) const;
  Operand input(Frame& f, int r, int64_t begin, int64_t col, int64_t n) const;
  void gather_rows(int r, const void* from, int64_t row, int64_t rows, char* to) const;
  void elements(Frame& f, const Phase& phase, int64_t col, int64_t n) const;
  void fold(Frame& f, const Instruction& t, int64_t i, int64_t col, int64_t n) const;
  char* column_sums(const Frame& f, const Instruction& t, int64_t col, int64_t n) const;
  char* element(Frame& f, int r, int64_t begin, int64_t col) const;
  const char* dense(Frame& f, int r, int64_t row, int64_t n) const;
  void native(Frame& f, const Phase& phase, const Segment& s, int64_t col, int64_t n) const;
  void maps_of_rows(Frame& f, const std::vector<Instruction>& maps) const;
  void show_row(Frame& f, int r) const;
  bool is_regular() const;
  int64_t row_step(int r) const;
  void prepare_regular();
  bool find_bases(Frame& f) const;
  void regular_set(Frame& f) const;
  void finish(void* const* in, void* const* out, char* workspace) const;
  void finish_long_rows(void* const* in, void* const* out, char* workspace) const;
  char* whole(int r, void* const* in, void* const* out, char* workspace) const;

  int64_t rows_ = 1, cols_ = 0;
  int inputs_ = 0;
  std::vector<Register> registers_;
  std::vector<Phase> phases_;
  jit::Pages pages_;                // the code of the segments
  std::vector<Instruction> first_;  // maps of row inputs
  std::vector<Instruction> last_;   // folds of totals and maps of columns and totals
  std::vector<int> outputs_, row_inputs_, row_results_, periodic_;
  bool compiles_ = false;   // what can be
  bool regular_ = false;    // see fused_regular.cpp
  bool row_maps_ = false;   // some maps of rows are not made by compiled loops
  int64_t past_ = 0;        // what results written past the caches are aligned to, if some are
  int64_t block_rows_ = 1;  // rows that share a block
  int64_t set_rows_ = 1;    // rows computed together, in whole blocks
  int64_t chunk_rows_ = 1, chunk_cols_ = 0;
  int64_t block_cols_ = kBlock;  // of a row that is several blocks
  int block_slots_ = 0, set_slots_ = 0, scratch_slot_ = 0;
  int64_t row_bytes_ = 0, block_bytes_ = 0, set_bytes_ = 0, workspace_ = 0;
  int column_folds_ = 0, row_folds_ = 0;
  bool row_values_ = false;  // rows are reduced, or mapped: a chunk spans whole rows
  bool one_block_ = false;   // a set of rows is one block
  bool long_rows_ = false;   // the folds of a row come from several chunks
};

}  // namespace flowbook::cpu
