// SPDX-License-Identifier: Apache-2.0
// An agent that does nothing: what every host must look the same under.
typedef int EmptyTranslationUnitsAreNotIso;
