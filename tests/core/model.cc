// SPDX-License-Identifier: Apache-2.0
#include "tests/core/model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <random>
#include <unordered_map>

// Saves the callee-saved registers and the stack pointer, and goes on where `load_sp` was saved.
extern "C" void sonde_model_switch(void** save_sp, void* load_sp);
asm(R"(
.text
.globl sonde_model_switch
.type sonde_model_switch, @function
sonde_model_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size sonde_model_switch, .-sonde_model_switch
)");

namespace sonde::model {

std::function<void()> on_step;

namespace {

struct Access {
  uintptr_t address = 0;
  unsigned bytes = 0;
  bool writes = false;
};

bool Dependent(const Access& a, const Access& b) {
  const bool overlap = a.address < b.address + b.bytes && b.address < a.address + a.bytes;
  return overlap && (a.writes || b.writes);
}

// A cooperative thread. It stands before the access `next`, or has ended.
class Fiber {
 public:
  void Start(const std::function<void()>& body);
  void Resume();
  void Stop(const Access& access);  // called on the fiber
  bool ended() const { return ended_; }
  const Access& next() const { return next_; }
  static Fiber* current;

 private:
  static void Run();
  static constexpr size_t kStackBytes = 256 << 10;
  std::unique_ptr<char[]> stack_{new char[kStackBytes]};
  std::function<void()> body_;
  void* sp_ = nullptr;
  void* explorer_sp_ = nullptr;
  Access next_;
  bool ended_ = true;
};

Fiber* Fiber::current = nullptr;

void Fiber::Start(const std::function<void()>& body) {
  body_ = body;
  ended_ = false;
  auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack_.get()) + kStackBytes) &
                                       ~uintptr_t{15});
  *--top = nullptr;  // the alignment that a called function expects
  *--top = reinterpret_cast<void*>(&Fiber::Run);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  sp_ = top;
  Resume();
}

void Fiber::Resume() {
  current = this;
  sonde_model_switch(&explorer_sp_, sp_);
  current = nullptr;
}

void Fiber::Stop(const Access& access) {
  next_ = access;
  sonde_model_switch(&sp_, explorer_sp_);
}

void Fiber::Run() {
  Fiber* self = current;
  self->body_();
  self->ended_ = true;
  sonde_model_switch(&self->sp_, self->explorer_sp_);
}

using Clock = std::array<int, kMaxThreads>;  // per thread, the last of its accesses that is known
using Mask = unsigned;

void Join(Clock* clock, const Clock& other) {
  for (int i = 0; i < kMaxThreads; ++i) (*clock)[i] = std::max((*clock)[i], other[i]);
}

Clock Never() {
  Clock clock;
  clock.fill(-1);
  return clock;
}

struct Node {
  std::array<Access, kMaxThreads> next;
  Mask enabled = 0;
  Mask sleep = 0;
  Mask backtrack = 0;
  Mask done = 0;
  int chosen = -1;
};

struct Executed {
  int thread;
  Access access;
};

struct WordClocks {
  Clock writes = Never();
  Clock all = Never();
};

class Explorer {
 public:
  explicit Explorer(const Scenario& scenario)
      : scenario_(scenario), fibers_(scenario.threads.size()) {}
  Explored Run(uint64_t max_runs);
  Explored RunRandomly(uint64_t runs, uint32_t seed);
  Explored RunOversleeping();
  bool Ignores(const void* address) const {
    return scenario_.ignores && scenario_.ignores(address);
  }

 private:
  void Begin();
  void RunOnce();
  void RunOnceRandomly(std::minstd_rand* random);
  void Note(Explored* result);
  Mask Enabled() const;
  bool Extend();
  void FindRaces(Node* node);
  void Execute(const Node& node);
  void Account(int thread, const Access& access);
  bool NextPath();
  std::string Order() const;

  const Scenario& scenario_;
  std::vector<Fiber> fibers_;
  std::vector<Node> path_;
  std::vector<Executed> trace_;
  std::array<Clock, kMaxThreads> clocks_;
  std::unordered_map<uintptr_t, WordClocks> words_;
};

Explorer* explorer = nullptr;

Mask Explorer::Enabled() const {
  Mask mask = 0;
  for (size_t i = 0; i < fibers_.size(); ++i) mask |= fibers_[i].ended() ? 0u : 1u << i;
  return mask;
}

// For each thread: the last access that races with its next one must be tried in the other order
// too.
void Explorer::FindRaces(Node* node) {
  for (int p = 0; p < static_cast<int>(fibers_.size()); ++p) {
    if ((node->enabled >> p & 1) == 0) continue;
    for (int i = static_cast<int>(trace_.size()) - 1; i >= 0; --i) {
      const Executed& other = trace_[i];
      const bool ordered = other.thread == p || i <= clocks_[p][other.thread];
      if (ordered || !Dependent(other.access, node->next[p])) continue;
      path_[i].backtrack |= 1u << p;
      break;
    }
  }
}

// A node for the state that has just been reached. False: whatever comes has been seen from
// elsewhere.
bool Explorer::Extend() {
  Node node;
  node.enabled = Enabled();
  for (size_t i = 0; i < fibers_.size(); ++i) node.next[i] = fibers_[i].next();
  if (!path_.empty()) {
    const Node& parent = path_.back();
    const Mask asleep = (parent.sleep | parent.done) & ~(1u << parent.chosen);
    for (int p = 0; p < static_cast<int>(fibers_.size()); ++p) {
      const bool keeps = !Dependent(parent.next[p], parent.next[parent.chosen]);
      if ((asleep >> p & 1) != 0 && keeps) node.sleep |= 1u << p;
    }
  }
  FindRaces(&node);
  const Mask candidates = node.enabled & ~node.sleep;
  if (candidates == 0) return false;
  node.chosen = std::countr_zero(candidates);
  node.backtrack = 1u << node.chosen;
  path_.push_back(node);
  return true;
}

void Explorer::Account(int thread, const Access& access) {
  Clock& clock = clocks_[thread];
  const uintptr_t first = access.address & ~uintptr_t{7};
  for (uintptr_t word = first; word < access.address + access.bytes; word += 8) {
    const WordClocks& seen = words_[word];
    Join(&clock, access.writes ? seen.all : seen.writes);
  }
  clock[thread] = static_cast<int>(trace_.size());
  for (uintptr_t word = first; word < access.address + access.bytes; word += 8) {
    WordClocks& seen = words_[word];
    if (access.writes) seen.writes = clock;
    Join(&seen.all, clock);
  }
}

void Explorer::Execute(const Node& node) {
  const Access access = node.next[node.chosen];
  Account(node.chosen, access);
  trace_.push_back({node.chosen, access});
  fibers_[node.chosen].Resume();
}

void Explorer::Begin() {
  scenario_.reset();
  trace_.clear();
  words_.clear();
  clocks_.fill(Never());
  for (size_t i = 0; i < fibers_.size(); ++i) fibers_[i].Start(scenario_.threads[i]);
}

void Explorer::RunOnce() {
  Begin();
  for (size_t depth = 0; Enabled() != 0; ++depth) {
    if (depth == path_.size() && !Extend()) break;
    Execute(path_[depth]);
  }
  for (Fiber& fiber : fibers_) {
    while (!fiber.ended()) fiber.Resume();
  }
}

void Explorer::RunOnceRandomly(std::minstd_rand* random) {
  Begin();
  size_t turn = 0;
  for (Mask enabled = Enabled(); enabled != 0; enabled = Enabled()) {
    // A thread keeps its turn for eight accesses in the mean.
    if ((*random)() % 8 == 0 || (enabled >> turn & 1) == 0) {
      do turn = (*random)() % fibers_.size();
      while ((enabled >> turn & 1) == 0);
    }
    trace_.push_back({static_cast<int>(turn), fibers_[turn].next()});
    fibers_[turn].Resume();
  }
}

// The deepest node with an untried thread. False: all orders have been seen.
bool Explorer::NextPath() {
  while (!path_.empty()) {
    Node& node = path_.back();
    node.done |= 1u << node.chosen;
    const Mask left = node.backtrack & ~node.done & ~node.sleep;
    if (left != 0) {
      node.chosen = std::countr_zero(left);
      return true;
    }
    path_.pop_back();
  }
  return false;
}

std::string Explorer::Order() const {
  std::string order = ", order of threads: ";
  for (const Executed& step : trace_) order += static_cast<char>('0' + step.thread);
  return order;
}

void Explorer::Note(Explored* result) {
  ++result->runs;
  result->longest = std::max<uint64_t>(result->longest, trace_.size());
  result->failure = scenario_.check();
  if (!result->failure.empty()) result->failure += Order();
}

Explored Explorer::Run(uint64_t max_runs) {
  Explored result;
  do {
    RunOnce();
    Note(&result);
    result.complete = result.failure.empty() && !NextPath();
  } while (!result.complete && result.failure.empty() && result.runs < max_runs);
  return result;
}

Explored Explorer::RunRandomly(uint64_t runs, uint32_t seed) {
  Explored result;
  std::minstd_rand random(seed);
  while (result.failure.empty() && result.runs < runs) {
    RunOnceRandomly(&random);
    Note(&result);
  }
  return result;
}

Explored Explorer::RunOversleeping() {
  Explored result;
  while (!result.complete && result.failure.empty()) {
    Begin();
    for (uint64_t k = 0; k < result.runs && !fibers_[0].ended(); ++k) fibers_[0].Resume();
    result.complete = fibers_[0].ended();
    for (size_t i = 1; i <= fibers_.size(); ++i) {
      Fiber& fiber = fibers_[i % fibers_.size()];
      while (!fiber.ended()) fiber.Resume();
    }
    Note(&result);
    if (!result.failure.empty()) result.failure += std::to_string(result.runs - 1);
  }
  return result;
}

}  // namespace

void Step(const void* address, unsigned bytes, bool writes) {
  if (on_step) on_step();
  if (Fiber::current == nullptr || explorer->Ignores(address)) return;
  Fiber::current->Stop({reinterpret_cast<uintptr_t>(address), bytes, writes});
}

Explored Explore(const Scenario& scenario, uint64_t max_runs) {
  Explorer here(scenario);
  explorer = &here;
  return here.Run(max_runs);
}

Explored Sample(const Scenario& scenario, uint64_t runs, uint32_t seed) {
  Explorer here(scenario);
  explorer = &here;
  return here.RunRandomly(runs, seed);
}

Explored Oversleep(const Scenario& scenario) {
  Explorer here(scenario);
  explorer = &here;
  return here.RunOversleeping();
}

}  // namespace sonde::model
