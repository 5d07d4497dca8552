// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/heap_math.h"

namespace sonde {
namespace {

constexpr double kLn2 = 0.693147180559945309417;

}  // namespace

// x = 2^e · m with m in [√½, √2); ln m = 2 artanh((m − 1) / (m + 1)), whose series in z² ≤ 0.0295
// is cut after z^15.
double NaturalLog(double x) {
  constexpr double kRootOfTwo = 1.41421356237309504880;
  const uint64_t bits = __builtin_bit_cast(uint64_t, x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = __builtin_bit_cast(double, (bits & 0xfffffffffffff) | uint64_t{1023} << 52);
  if (m > kRootOfTwo) {
    m /= 2;
    ++exponent;
  }
  const double z = (m - 1) / (m + 1);
  const double z2 = z * z;
  double sum = 0;
  for (int n = 15; n >= 1; n -= 2) sum = sum * z2 + 1.0 / n;
  return exponent * kLn2 + 2 * z * sum;
}

// For small x by the series; beyond, p(2x) = p(x) (2 − p(x)) leads there from a small one.
double OneMinusExp(double x) {
  constexpr double kCertain = 40;  // e^-40 is below the precision of 1
  constexpr double kSmall = 1.0 / 64;
  if (x >= kCertain) return 1;
  int doublings = 0;
  for (; x > kSmall; x /= 2) ++doublings;
  double p = 0;
  for (int n = 7; n >= 1; --n) p = x / n * (1 - p);
  for (; doublings > 0; --doublings) p *= 2 - p;
  return p;
}

uint64_t NextRandom(uint64_t* state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// −ln(u) · interval of a u in (0, 1]. Rounding down is exact: of whole bytes only those below
// count.
uint64_t DrawGap(uint64_t random, uint64_t interval) {
  if (interval <= 1) return 0;
  const double u = static_cast<double>((random >> 11) + 1) * 0x1p-53;
  return static_cast<uint64_t>(-NaturalLog(u) * static_cast<double>(interval));
}

double SampleWeight(uint64_t size, uint64_t interval) {
  if (interval <= 1) return 1;
  return 1 / OneMinusExp((static_cast<double>(size) + 1) / static_cast<double>(interval));
}

}  // namespace sonde
