// The caching allocator: size classes, four per power of two; a per-thread list of small blocks in
// front of shared lists of large ones. Statistics gather per thread and are added up every 64 KiB.

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "core/blocks.h"
#include "core/bytes.h"
#include "core/fork.h"
#include "core/memory_log.h"

namespace flowbook {

constinit thread_local ThreadState tls = {};

namespace {

constexpr int kBuckets = 200;
constexpr uint32_t kUnpooled = ~0u;
bool joined(const Buffer* b) { return b->bucket != kUnpooled && b->data == b + 1; }
struct Shared {
  Shared() { hold_over_fork(mutex, 9); }
  std::mutex mutex;
  Block* blocks[kBuckets] = {};
  int64_t cached[kBuckets] = {};
  std::unordered_map<uint64_t, Buffer*> tracked;
  uint64_t next_id = 1;
  std::atomic<int64_t> live{0}, peak{0}, cached_bytes{0}, allocations{0}, limit{0};
  std::atomic<int64_t> by_kind[kBufferKinds] = {};
  std::atomic<int64_t> window_peak{0};
  std::atomic<int64_t (*)()> release{nullptr};
};
Shared& shared() {
  static auto* s = new Shared;  // never destroyed: tensors may outlive static destruction
  return *s;
}

void raise(std::atomic<int64_t>& highest, int64_t value) {
  int64_t seen = highest.load(std::memory_order_relaxed);
  while (value > seen && !highest.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

// Time is cut into intervals; one in which something changed leaves a sample when the first change
// of a later one is noted.
class History {
 public:
  History() { hold_over_fork(mutex_, 8); }
  void note(int64_t before, int64_t live) {
    // A thread that was held up may come with a time that others have left behind: what it notes
    // belongs to the interval that is open now, and no time ever runs back.
    const int64_t now = clock();
    if (now / interval_.load(std::memory_order_relaxed) > open_.load(std::memory_order_relaxed))
        [[unlikely]]
      close(now, before);
    raise(last_, now);
    raise(peak_, live);
  }
  std::vector<MemorySample> samples(int64_t live) {
    std::lock_guard lock(mutex_);
    std::vector<MemorySample> all = samples_;
    all.push_back({seconds(clock()), live, std::max(live, peak_.load())});
    return all;
  }

 private:
  static int64_t clock() {  // ns; the coarse clock (some ms) is read without a system call
    timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
  static int64_t origin() {  // of all devices, so that their times can be compared
    static const int64_t first = clock();
    return first;
  }
  double seconds(int64_t time) const { return double(time - start_) * 1e-9; }
  [[gnu::noinline]] void close(int64_t now, int64_t before) {
    std::lock_guard lock(mutex_);
    const int64_t interval = interval_.load(std::memory_order_relaxed);
    if (now / interval <= open_.load(std::memory_order_relaxed)) return;
    const int64_t peak = peak_.exchange(before, std::memory_order_relaxed);
    samples_.push_back(
        {seconds(last_.load(std::memory_order_relaxed)), before, std::max(before, peak)});
    if (samples_.size() >= size_t(kMemorySamples)) {  // pairs join: the later state, both peaks
      for (size_t i = 0; i < samples_.size() / 2; ++i) {
        samples_[i] = samples_[2 * i + 1];
        samples_[i].peak = std::max(samples_[i].peak, samples_[2 * i].peak);
      }
      samples_.resize(samples_.size() / 2);
      interval_.store(2 * interval, std::memory_order_relaxed);
    }
    open_.store(now / interval_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  std::mutex mutex_;
  const int64_t start_ = origin();
  std::atomic<int64_t> interval_{50'000'000};
  std::atomic<int64_t> open_{start_ / 50'000'000}, last_{start_}, peak_{0};
  std::vector<MemorySample> samples_;
};
History& history() {
  static auto* h = new History;
  return *h;
}

// What other devices' buffers take. Plugins allocate in their own ways; all of it is adopted here.
struct OtherDevice {
  void count(int64_t bytes) {
    const int64_t before = live.fetch_add(bytes, std::memory_order_relaxed);
    history.note(before, before + bytes);
  }
  std::atomic<int64_t> live{0};
  History history;
};
[[gnu::noinline]] OtherDevice& other_device(int device) {
  // A buffer's device is one byte; few processes see more than one.
  static std::atomic<OtherDevice*> all[256];
  if (OtherDevice* known = all[device].load(std::memory_order_acquire)) return *known;
  // Never freed, not even by who comes second: a fork goes on holding the mutex within.
  auto* made = new OtherDevice;
  OtherDevice* first = nullptr;
  return all[device].compare_exchange_strong(first, made) ? *made : *first;
}

// Gives a thread's lists back when it ends.
struct ThreadExit {
  ~ThreadExit() {
    flush_counters();
    for (auto*& list : tls.blocks)
      while (Block* b = list) list = b->next, std::free(b);
    while (Buffer* b = tls.headers) tls.headers = b->next, std::free(b);
    std::fill(std::begin(tls.count), std::end(tls.count),
              uint16_t(kept(0)));  // later frees go to the system
  }
};
[[gnu::noinline, gnu::cold]] void register_thread() {
  static thread_local ThreadExit at_exit;
  (void)at_exit;
  tls.registered = true;
}

void* system_allocate(int64_t bytes) {
  constexpr int64_t kHugePage = 2 << 20;
  if (bytes < kHugePage) return std::aligned_alloc(64, size_t(bytes));
  void* p = std::aligned_alloc(size_t(kHugePage),
                               size_t((bytes + kHugePage - 1) / kHugePage * kHugePage));
  if (p) madvise(p, size_t(bytes), MADV_HUGEPAGE);  // 8x cheaper to touch for the first time
  return p;
}
[[noreturn, gnu::cold]] void out_of_memory(int64_t bytes, bool limited) {
  const MemoryStats m = memory_stats();
  // A limit is on what is in use: what is cached would not have been in the way.
  const bool cached = !limited && m.reserved > m.live;
  fail(ErrorKind::kOutOfMemory, Bytes(bytes), " were asked for; ", Bytes(m.live), " are in use",
       cached ? cat(", ", Bytes(m.reserved - m.live), " cached") : std::string(),
       limited ? cat(" and the limit is ", Bytes(memory_limit()),
                     ". Free tensors or raise the limit with fb.memory.set_limit().")
               : std::string(" and the system has no more. Free tensors, or use smaller batches."));
}

// A block of at least `bytes` from the shared lists or the system.
void* take_large(int bucket) {
  Shared& s = shared();
  const int64_t bytes = bucket_bytes(bucket);
  {
    std::lock_guard lock(s.mutex);
    if (Block* b = s.blocks[bucket]) {
      s.blocks[bucket] = b->next;
      s.cached[bucket] -= bytes;
      s.cached_bytes.fetch_sub(bytes, std::memory_order_relaxed);
      return b;
    }
  }
  void* p = system_allocate(bytes);
  if (!p && free_cached_memory() > 0) p = system_allocate(bytes);  // of finished runs, too
  return p;
}
void give_large(void* p, int bucket) {
  Shared& s = shared();
  const int64_t bytes = bucket_bytes(bucket);
  // Keep at most as much as is in use, plus 64 MiB: a loop's working set stays, a past peak does
  // not.
  if (s.cached_bytes.load(std::memory_order_relaxed) + bytes >
      std::max(s.live.load(std::memory_order_relaxed), s.peak.load(std::memory_order_relaxed) / 2) +
          (int64_t(64) << 20)) {
    std::free(p);
    return;
  }
  std::lock_guard lock(s.mutex);
  auto* b = static_cast<Block*>(p);
  b->next = s.blocks[bucket];
  s.blocks[bucket] = b;
  s.cached[bucket] += bytes;
  s.cached_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

}  // namespace

void flush_counters() {
  Shared& s = shared();
  const int64_t live = s.live.fetch_add(tls.delta, std::memory_order_relaxed) + tls.delta;
  s.allocations.fetch_add(tls.allocations, std::memory_order_relaxed);
  for (int i = 0; i < kBufferKinds; ++i)
    if (tls.kinds[i])
      s.by_kind[i].fetch_add(tls.kinds[i], std::memory_order_relaxed), tls.kinds[i] = 0;
  const int64_t before = live - tls.delta;
  tls.delta = tls.allocations = 0;
  if (live == before) return;
  raise(s.peak, live);
  raise(s.window_peak, live);
  history().note(before, live);
}

namespace {
int64_t relieve() {
  auto* release = shared().release.load();
  return release ? release() : 0;
}
inline void count(Buffer* b, int64_t sign) {
  count_small(b->bytes * sign, b->kind);
  if (b->bytes >= kTrackedBytes) [[unlikely]]
    flush_counters();
}
[[gnu::noinline]] void track(Buffer* b) {
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  b->id = s.next_id++;
  s.tracked.emplace(b->id, b);
}
[[gnu::noinline]] void untrack(Buffer* b) {
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  s.tracked.erase(b->id);
}
Buffer* new_header() {
  if (Buffer* b = tls.headers) {
    tls.headers = b->next;
    return new (b) Buffer;
  }
  if (!tls.registered) register_thread();
  void* p = std::aligned_alloc(64, (sizeof(Buffer) + 63) / 64 * 64);
  if (!p) out_of_memory(sizeof(Buffer), false);
  return new (p) Buffer;
}
void free_header(Buffer* b) {
  b->next = tls.headers;
  tls.headers = b;
}

}  // namespace

void* refill_small(int bucket) {
  if (!tls.registered) register_thread();
  void* p = std::aligned_alloc(64, size_t(bucket_bytes(bucket)));
  if (!p) out_of_memory(bucket_bytes(bucket), false);
  return p;
}
void drop_small(void* p) { std::free(p); }

void* allocate_block(size_t bytes) {
  const int bucket = bucket_of(int64_t(bytes));
  if (bucket < kSmallBuckets) return take_small(bucket);
  void* p = take_large(bucket);
  if (!p) out_of_memory(int64_t(bytes), false);
  return p;
}
void free_block(void* p, size_t bytes) {
  const int bucket = bucket_of(int64_t(bytes));
  bucket < kSmallBuckets ? give_small(p, bucket) : give_large(p, bucket);
}

namespace {
[[gnu::noinline]] Ref<Buffer> allocate_apart(int64_t bytes, BufferKind kind) {
  if (bytes > (int64_t(1) << 46)) out_of_memory(bytes, false);
  if (bytes >= kTrackedBytes) [[unlikely]] {
    const int64_t limit = memory_limit();
    auto beyond = [&] {
      return limit && shared().live.load(std::memory_order_relaxed) + bytes > limit;
    };
    if (beyond()) [[unlikely]] {
      relieve();
      if (beyond()) out_of_memory(bytes, true);
    }
  }
  Buffer* b = new_header();
  try {
    b->data = allocate_block(size_t(bytes));
  } catch (...) {
    free_header(b);
    throw;
  }
  b->bucket = uint32_t(bucket_of(bytes));
  b->bytes = bytes;
  b->kind = kind;
  b->cell = tls.cell;
  count(b, 1);
  if (bytes >= kTrackedBytes) track(b);
  return Ref<Buffer>(b, false);
}
}  // namespace

Ref<Buffer> allocate(int64_t bytes, BufferKind kind) {
  if (bytes > kJoinedBytes) return allocate_apart(bytes, kind);
  return allocate_joined(bytes, kind);
}
Ref<Buffer> adopt(void* data, int64_t bytes, void (*release)(void*), void* context,
                  uint8_t device) {
  Buffer* b = new_header();
  b->device = device;
  b->bucket = kUnpooled;
  b->data = data;
  b->bytes = bytes;
  b->release = release;
  b->context = context;
  b->kind = BufferKind::kExternal;
  b->cell = tls.cell;
  device ? other_device(device).count(bytes) : count(b, 1);
  if (bytes >= kTrackedBytes) track(b);
  return Ref<Buffer>(b, false);
}
void destroy(Buffer* b) {
  b->device ? other_device(b->device).count(-b->bytes) : count(b, -1);
  if (joined(b)) return give_small(b, int(b->bucket));
  if (b->id) untrack(b);
  if (b->bucket == kUnpooled) {
    if (b->release) b->release(b->context);
  } else {
    free_block(b->data, size_t(b->bytes));
  }
  free_header(b);
}

MemoryStats memory_stats() {
  flush_counters();
  Shared& s = shared();
  MemoryStats m;
  m.live = s.live.load(std::memory_order_relaxed);
  m.peak = s.peak.load(std::memory_order_relaxed);
  m.reserved = m.live + s.cached_bytes.load(std::memory_order_relaxed);
  m.allocations = s.allocations.load(std::memory_order_relaxed);
  for (int i = 0; i < kBufferKinds; ++i)
    m.by_kind[i] = s.by_kind[i].load(std::memory_order_relaxed);
  return m;
}
void reset_peak_memory(int device) {
  if (device) return;  // it keeps its own peak
  flush_counters();
  shared().peak.store(shared().live.load());
}
int64_t free_cached_memory(int device) {
  if (device) return 0;  // nothing is cached here for other devices
  relieve();
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  int64_t freed = 0;
  for (int i = 0; i < kBuckets; ++i) {
    while (Block* b = s.blocks[i]) s.blocks[i] = b->next, std::free(b), freed += bucket_bytes(i);
    s.cached[i] = 0;
  }
  s.cached_bytes.fetch_sub(freed, std::memory_order_relaxed);
  return freed;
}
void set_memory_limit(int64_t bytes) { shared().limit.store(bytes); }
int64_t memory_limit() { return shared().limit.load(std::memory_order_relaxed); }
void begin_memory_window() {
  flush_counters();
  shared().window_peak.store(shared().live.load());
}
int64_t memory_window_peak() {
  flush_counters();
  return shared().window_peak.load();
}
std::vector<MemorySample> memory_history(int device) {
  if (device) {
    OtherDevice& other = other_device(device);
    return other.history.samples(other.live.load(std::memory_order_relaxed));
  }
  flush_counters();
  return history().samples(shared().live.load());
}
void set_kind(Buffer& b, BufferKind kind) {
  if (b.kind == kind || b.device) return;
  Shared& s = shared();
  std::lock_guard lock(s.mutex);  // against another thread that does the same
  s.by_kind[int(b.kind)].fetch_sub(b.bytes, std::memory_order_relaxed);
  s.by_kind[int(kind)].fetch_add(b.bytes, std::memory_order_relaxed);
  b.kind = kind;
}
void on_memory_pressure(int64_t (*release)()) { shared().release.store(release); }
void set_current_cell(uint32_t cell) { tls.cell = cell; }
uint32_t current_cell() { return tls.cell; }
std::vector<BufferInfo> list_buffers(int device) {
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  std::vector<BufferInfo> list;
  for (auto& [id, b] : s.tracked)
    if (b->device == device) list.push_back({id, b->bytes, b->cell, b->kind});
  std::sort(list.begin(), list.end(), [](auto& a, auto& b) { return a.id < b.id; });
  return list;
}

}  // namespace flowbook
