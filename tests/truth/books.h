// SPDX-License-Identifier: Apache-2.0
// Exact books of what call sites allocated and freed, and how far an estimate of each sum may be
// off. A block of `size` bytes is sampled with p = 1 − e^(−(size + 1) / interval), independently of
// all others, and then stands for 1 / p blocks; so the estimate of a sum of values v has the
// variance Σ v² (1 − p) / p, and no block moves it by more than v · max(1, (1 − p) / p).
//
// Each thread has books of its own, which are added up when it has ended: a block that another
// thread frees is a minus there. No memory but the books.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace truth {

inline constexpr int kSitesPerShape = 4;
inline constexpr int kMaxShapes = 24;
inline constexpr int kSites = kSitesPerShape * kMaxShapes;

// One sum: its truth, the variance of its estimate, and the most that one block can do to it.
struct Sum {
  double truth = 0;
  double variance = 0;
  double largest_step = 0;

  void Add(double value, double variance_of_it, double step) {
    truth += value;
    variance += variance_of_it;
    if (step > largest_step) largest_step = step;
  }
  void Add(const Sum& other) { Add(other.truth, other.variance, other.largest_step); }
};

struct SiteBooks {
  Sum live_bytes, live_objects, bytes, objects;

  void Add(const SiteBooks& other) {
    live_bytes.Add(other.live_bytes), live_objects.Add(other.live_objects);
    bytes.Add(other.bytes), objects.Add(other.objects);
  }
};

class Books {
 public:
  explicit Books(uint64_t interval) : interval_(static_cast<double>(interval)) {}

  void Allocated(int site, size_t size) {
    SiteBooks& books = sites_[static_cast<size_t>(site)];
    const Odds odds = OddsOf(size);
    const auto bytes = static_cast<double>(size);
    books.bytes.Add(bytes, bytes * bytes * odds.variance, bytes * odds.step);
    books.objects.Add(1, odds.variance + odds.rounding, odds.step + 1);
    Live(site, size, 1);
  }
  void Freed(int site, size_t size) { Live(site, size, -1); }

  void Add(const Books& other) {
    for (size_t i = 0; i < sites_.size(); ++i) sites_[i].Add(other.sites_[i]);
  }
  const SiteBooks& site(int index) const { return sites_[static_cast<size_t>(index)]; }

 private:
  struct Odds {
    double variance;  // (1 − p) / p, of a value of 1
    double step;      // the most that the estimate of it is off
    double rounding;  // variance that the rounding of 1 / p to whole blocks adds
  };

  Odds OddsOf(size_t size) const {
    if (interval_ <= 1) return {0, 0, 0};
    const double p = -std::expm1(-(static_cast<double>(size) + 1) / interval_);
    const double variance = (1 - p) / p;
    const double fraction = 1 / p - std::floor(1 / p);
    return {variance, variance > 1 ? variance : 1, p * fraction * (1 - fraction)};
  }

  void Live(int site, size_t size, int sign) {
    SiteBooks& books = sites_[static_cast<size_t>(site)];
    const Odds odds = OddsOf(size);
    const auto bytes = static_cast<double>(size);
    books.live_bytes.Add(sign * bytes, sign * bytes * bytes * odds.variance, bytes * odds.step);
    books.live_objects.Add(sign, sign * odds.variance, odds.step);
  }

  double interval_;
  std::array<SiteBooks, kSites> sites_{};
};

}  // namespace truth
