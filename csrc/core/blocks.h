// State of each thread, for the files whose hot paths must not call for it: free lists of the
// allocator (tensor headers and small buffers cost a pop and a push) and the stack of recordings.
#pragma once
#include <bit>

#include "core/tensor.h"

namespace flowbook {

inline constexpr int kSmallBuckets = 28;  // up to 16 KiB: kept per thread

// Size classes, four per power of two, from 64 bytes up.
constexpr int bucket_of(int64_t bytes) {
  const uint64_t n = bytes > 0 ? uint64_t(bytes - 1) >> 6 : 0;
  if (n < 4) return int(n);
  const int e = int(std::bit_width(n)) - 3;
  return int(uint64_t(4 * e) + (n >> e));
}
constexpr int64_t bucket_bytes(int b) {
  const int e = b < 4 ? 0 : (b - 4) / 4;
  return int64_t((uint64_t(b - 4 * e) + 1) << e) << 6;
}
static_assert(bucket_bytes(bucket_of(1)) == 64 && bucket_bytes(bucket_of(65)) == 128);
static_assert(bucket_bytes(kSmallBuckets - 1) <= kTrackedBytes);

// Blocks kept per thread and bucket: enough for a tape, bounded in bytes.
constexpr int kept(int bucket) { return bucket < 16 ? 4096 : 64; }

struct Block {
  Block* next;
};
// What a thread has of its own. One small trivial struct with the initial-exec model: access is one
// instruction, no guard.
class Recorder;
struct ThreadState {
  Block* blocks[kSmallBuckets];  // raw blocks: tensor headers and small data
  uint16_t count[kSmallBuckets];
  Buffer* headers;
  Recorder* recorder;  // the innermost one
  uint32_t cell;
  bool registered;
  // Statistics of small blocks not yet added to the shared counters.
  int64_t delta, allocations, kinds[kBufferKinds];
};
extern constinit thread_local ThreadState tls
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

[[gnu::noinline]] void* refill_small(int bucket);  // a new block from the system

// `bucket` is a small one.
inline void* take_small(int bucket) {
  if (Block* b = tls.blocks[bucket]) [[likely]] {
    tls.blocks[bucket] = b->next;
    --tls.count[bucket];
    return b;
  }
  return refill_small(bucket);
}
[[gnu::noinline]] void drop_small(void* p);  // to the system
inline void give_small(void* p, int bucket) {
  if (tls.count[bucket] >= kept(bucket)) [[unlikely]]
    return drop_small(p);
  auto* b = static_cast<Block*>(p);
  b->next = tls.blocks[bucket];
  tls.blocks[bucket] = b;
  ++tls.count[bucket];
}

// Adds to the thread's statistics what `bytes` more (or, negative, fewer) of that kind are.
constexpr int64_t kFlush = 64 << 10;  // how far they may run ahead of the shared ones
[[gnu::noinline]] void flush_counters();
inline void count_small(int64_t bytes, BufferKind kind) {
  tls.delta += bytes;
  tls.kinds[int(kind)] += bytes;
  tls.allocations += bytes > 0;
  if (tls.delta >= kFlush || tls.delta <= -kFlush) [[unlikely]]
    flush_counters();
}

// Up to here data follows the header in one block: one pop instead of two, and one line of cache
// less.
inline constexpr int64_t kJoinedBytes = 1 << 10;
static_assert(sizeof(Buffer) == 64, "data of small buffers follows, aligned to 64 bytes");
// Memory of at most that many bytes.
inline Ref<Buffer> allocate_joined(int64_t bytes, BufferKind kind) {
  const int bucket = bucket_of(int64_t(sizeof(Buffer)) + bytes);
  auto* b = new (take_small(bucket)) Buffer;
  b->data = b + 1;
  b->bucket = uint32_t(bucket);
  b->bytes = bytes;
  b->kind = kind;
  b->cell = tls.cell;
  count_small(bytes, kind);
  return Ref<Buffer>(b, false);
}

inline constexpr int kHeaderBucket = bucket_of(sizeof(TensorImpl));
static_assert(kHeaderBucket < kSmallBuckets);
// A concrete header without spec and memory.
inline TensorImpl* new_impl() { return new (take_small(kHeaderBucket)) TensorImpl; }

}  // namespace flowbook
