// SPDX-License-Identifier: Apache-2.0
// A program of known memory: after "go" on stdin it runs every shape, in the given number of
// threads, keeps what is live, and prints its exact books, a line a site:
//   site NUMBER SHAPE | then for live bytes, live objects, bytes, objects: truth variance step |
// then "ready", and waits for the end of stdin. Arguments: threads, interval in bytes, samples that
// a shape is to give on average (its volume), calls at most of a shape.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "tests/truth/shapes.h"

namespace truth {
namespace {

struct Plan {
  int threads;
  uint64_t interval;
  double samples;
  int calls;
};

int CallsOf(const Shape& shape, const Plan& plan) {
  const double volume = plan.samples * static_cast<double>(plan.interval);
  const double calls = volume / (shape.mean_size + 1) / plan.threads;
  const double most = std::min<double>(shape.most_calls, plan.calls / plan.threads);
  return static_cast<int>(std::clamp(calls, 8.0, std::max(8.0, most)));
}

// The workers are never destroyed: they hold what is live.
void RunShape(int index, const Plan& plan, Books* books) {
  const Shape& shape = Shapes()[static_cast<size_t>(index)];
  const int calls = CallsOf(shape, plan);
  std::vector<Worker*> workers;
  std::vector<std::thread> threads;
  for (int i = 0; i < plan.threads; ++i) {
    const auto seed = static_cast<uint64_t>(index * 1000 + i);
    workers.push_back(new Worker(index, seed, plan.interval));
    threads.emplace_back(shape.run, workers.back(), calls);
  }
  for (std::thread& thread : threads) thread.join();
  for (Worker* worker : workers) books->Add(worker->books());
}

void Print(const Sum& sum) {
  printf(" %.17g %.17g %.17g |", sum.truth, std::max(0.0, sum.variance), sum.largest_step);
}

void PrintBooks(const Books& books, int shapes) {
  for (int i = 0; i < shapes * kSitesPerShape; ++i) {
    const SiteBooks& site = books.site(i);
    printf("site %d %s |", i, Shapes()[static_cast<size_t>(i / kSitesPerShape)].name);
    Print(site.live_bytes), Print(site.live_objects), Print(site.bytes), Print(site.objects);
    printf("\n");
  }
  printf("ready\n");
  fflush(stdout);
}

}  // namespace
}  // namespace truth

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: %s THREADS INTERVAL SAMPLES CALLS\n", argv[0]);
    return 2;
  }
  const truth::Plan plan{atoi(argv[1]), strtoull(argv[2], nullptr, 10), atof(argv[3]),
                         atoi(argv[4])};
  if (getchar() == EOF) return 0;
  truth::Books books(plan.interval);
  const int shapes = static_cast<int>(truth::Shapes().size());
  for (int i = 0; i < shapes; ++i) truth::RunShape(i, plan, &books);
  truth::PrintBooks(books, shapes);
  while (getchar() != EOF) {
  }
  return 0;
}
