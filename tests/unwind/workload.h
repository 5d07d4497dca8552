// SPDX-License-Identifier: Apache-2.0
// Code with the kinds of frames that services have. workload.cc is compiled several times, with
// other options each time; see CMakeLists.txt.
#pragma once

namespace workload {

// Called at the innermost frame of each.
using Leaf = void (*)();

void Plain(int depth, Leaf leaf);   // a few ordinary frames
void Alloca(int bytes, Leaf leaf);  // a frame whose size is known at run time only
void Aligned(Leaf leaf);            // a frame aligned to 64 bytes
void AlignedWithStackArguments(Leaf leaf, long b, long c, long d, long e, long f, long g, long h);
void TailCall(Leaf leaf);        // leaves no frame of its own
void EndsInNoReturn(Leaf leaf);  // its last instruction is a call
void ThroughLibc(Leaf leaf);     // a callback from qsort
void ThroughPlt();               // first and second call of lazily bound functions
void Exceptions();               // throw through three frames, catch
int Arithmetic();                // leaf functions

}  // namespace workload

extern "C" {
// asm_frames.S, without any unwind information.
long AsmLeaf(long value);                       // touches no stack
void AsmWithFramePointer(workload::Leaf leaf);  // push rbp; mov rsp, rbp; call; pop rbp
void AsmPushes(workload::Leaf leaf);            // three pushes; call
long AsmRawClone(long flags, void* stack_end, workload::Leaf body);
// Assembly with it.
void AsmOtherStack(workload::Leaf leaf);    // the CFA is an expression
void AsmOddRegisters(workload::Leaf leaf);  // the CFA is r10 + n, then rsp + n
void AsmEnd();                              // marks the end of those without; not to be called
}
