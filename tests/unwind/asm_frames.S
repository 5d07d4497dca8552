// SPDX-License-Identifier: Apache-2.0
// Functions without unwind information, as hand-written assembly and JIT compilers leave them.
        .text
        .globl  AsmLeaf
        .type   AsmLeaf, @function
        .p2align 4
AsmLeaf:
        lea     1(%rdi,%rdi), %rax
        imul    %rdi, %rax
        add     $7, %rax
        ret
        .size   AsmLeaf, . - AsmLeaf

        .globl  AsmWithFramePointer
        .type   AsmWithFramePointer, @function
        .p2align 4
AsmWithFramePointer:
        push    %rbp
        mov     %rsp, %rbp
        sub     $32, %rsp
        call    *%rdi
        add     $32, %rsp
        pop     %rbp
        ret
        .size   AsmWithFramePointer, . - AsmWithFramePointer
        .globl  AsmEnd
AsmEnd:
        // Keeps the next function's tables away from what follows.
        .p2align 6

        .section .note.GNU-stack, "", @progbits
