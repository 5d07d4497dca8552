// SPDX-License-Identifier: Apache-2.0
// An object to load and unload.
extern "C" __attribute__((visibility("default"))) int PluginAnswer(int (*question)(int)) {
  return question(20) + 1;
}
