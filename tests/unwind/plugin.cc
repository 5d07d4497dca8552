// SPDX-License-Identifier: Apache-2.0
// An object to load and unload; the other plug-in has another frame size in the same bytes of code.
#ifdef SONDE_TEST_OTHER_PLUGIN
constexpr int kWords = 80;
#else
constexpr int kWords = 40;
#endif

extern "C" __attribute__((visibility("default"))) int PluginAnswer(int (*question)(int)) {
  volatile long frame[kWords];
  frame[0] = question(20);
  return static_cast<int>(frame[0]) + 1;
}
