// The list of mutexes that are held over fork().
#include "core/fork.h"

#include <pthread.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace flowbook {

namespace {
struct Held {
  std::mutex mutex;  // of the list itself
  std::vector<std::pair<int, std::mutex*>> list;
};
Held& held() {
  static auto* h = new Held;  // never destroyed: fork() may come during exit
  return *h;
}
void before() {
  held().mutex.lock();
  for (auto& [rank, m] : held().list) m->lock();
}
void after() {
  for (auto& [rank, m] : held().list) m->unlock();
  held().mutex.unlock();
}
}  // namespace

void hold_over_fork(std::mutex& m, int rank) {
  static const int once = pthread_atfork(before, after, after);
  (void)once;
  Held& h = held();
  std::lock_guard lock(h.mutex);
  h.list.emplace_back(rank, &m);
  std::sort(h.list.begin(), h.list.end());
}

}  // namespace flowbook
