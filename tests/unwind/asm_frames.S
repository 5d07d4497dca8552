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

        .globl  AsmPushes
        .type   AsmPushes, @function
        .p2align 4
AsmPushes:
        push    %rbx
        push    %r12
        push    %rdi
        call    *%rdi
        pop     %rdi
        pop     %r12
        pop     %rbx
        ret
        .size   AsmPushes, . - AsmPushes

// A thread made by nothing but the system call: rdi flags, rsi end of its stack, rdx what it runs.
        .globl  AsmRawClone
        .type   AsmRawClone, @function
        .p2align 4
AsmRawClone:
        mov     %rdx, %r8
        xor     %edx, %edx
        xor     %r10d, %r10d
        mov     $56, %eax
        syscall
        test    %eax, %eax
        jz      1f
        ret
1:      xor     %ebp, %ebp
        call    *%r8
        xor     %edi, %edi
        mov     $60, %eax
        syscall
        hlt
        .size   AsmRawClone, . - AsmRawClone

        .globl  AsmEnd
AsmEnd:
        // Keeps the next function's tables away from what follows.
        .p2align 6

// As OpenSSL's: another stack, whose first word tells where the caller's was.
        .globl  AsmOtherStack
        .type   AsmOtherStack, @function
        .p2align 4
AsmOtherStack:
        .cfi_startproc
        mov     %rsp, %rax
        .cfi_def_cfa_register %rax
        sub     $1024, %rsp
        and     $-256, %rsp
        mov     %rax, (%rsp)
        // CFA = *(rsp + 0) + 8
        .cfi_escape 0x0f, 0x05, 0x77, 0x00, 0x06, 0x23, 0x08
        call    *%rdi
        mov     (%rsp), %rsp
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
        .size   AsmOtherStack, . - AsmOtherStack

// As tuned kernels of libcrypto: saves by moves, and another register for the frame.
        .globl  AsmOddRegisters
        .type   AsmOddRegisters, @function
        .p2align 4
AsmOddRegisters:
        .cfi_startproc
        lea     8(%rsp), %r10
        .cfi_def_cfa %r10, 0
        lea     -88(%rsp), %rsp
        mov     %rbp, 32(%rsp)
        .cfi_offset %rbp, -64
        mov     %r12, 40(%rsp)
        .cfi_offset %r12, -56
        .cfi_def_cfa %rsp, 96
        xor     %ebp, %ebp
        call    *%rdi
        mov     40(%rsp), %r12
        .cfi_restore %r12
        mov     32(%rsp), %rbp
        .cfi_restore %rbp
        lea     88(%rsp), %rsp
        .cfi_def_cfa_offset 8
        ret
        .cfi_endproc
        .size   AsmOddRegisters, . - AsmOddRegisters

        .section .note.GNU-stack, "", @progbits
