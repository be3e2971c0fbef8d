// Chooses the instruction set of own_gemm.h, conv_tiles.h, pool_loops.h, channel_loops.h and
// attention_loops.h: the one that loops.h chose.
#include "cpu/own_gemm.h"

#include "cpu/attention_loops.h"
#include "cpu/channel_loops.h"
#include "cpu/conv_tiles.h"
#include "cpu/loops.h"
#include "cpu/pool_loops.h"

namespace flowbook::cpu {

#define FLOWBOOK_TABLES(ISA)               \
  namespace ISA {                          \
  extern const OwnGemmTable kOwnGemm;      \
  extern const ConvTiles kConvTiles;       \
  extern const PoolTable kPoolTable;       \
  extern const ChannelTable kChannelTable; \
  extern const AttentionLoops kAttention;  \
  }
#if FLOWBOOK_ISA_X86
FLOWBOOK_TABLES(v2)
FLOWBOOK_TABLES(v3)
FLOWBOOK_TABLES(v4)
namespace {
template <class Table>
const Table& choose(const Table& two, const Table& three, const Table& four) {
  static const char level = isa_name()[1];
  return level == '4' ? four : level == '3' ? three : two;
}
}  // namespace
const OwnGemmTable& own_gemm() { return choose(v2::kOwnGemm, v3::kOwnGemm, v4::kOwnGemm); }
const ConvTiles& conv_tiles() { return choose(v2::kConvTiles, v3::kConvTiles, v4::kConvTiles); }
const PoolTable& pool_loops() { return choose(v2::kPoolTable, v3::kPoolTable, v4::kPoolTable); }
const ChannelTable& channel_loops() {
  return choose(v2::kChannelTable, v3::kChannelTable, v4::kChannelTable);
}
const AttentionLoops& attention_loops() {
  return choose(v2::kAttention, v3::kAttention, v4::kAttention);
}
#else
FLOWBOOK_TABLES(base)
const OwnGemmTable& own_gemm() { return base::kOwnGemm; }
const ConvTiles& conv_tiles() { return base::kConvTiles; }
const PoolTable& pool_loops() { return base::kPoolTable; }
const ChannelTable& channel_loops() { return base::kChannelTable; }
const AttentionLoops& attention_loops() { return base::kAttention; }
#endif
#undef FLOWBOOK_TABLES

}  // namespace flowbook::cpu
