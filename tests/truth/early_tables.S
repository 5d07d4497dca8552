// SPDX-License-Identifier: Apache-2.0
// Many small functions, nobody's: a library whose unwind table takes long to build, and few enough (kMaxFunctionsOfLibrary)
// that it is built whole.
        .text
        .globl  early_tables
        .type   early_tables, @function
early_tables:
        ret
        .rept   7500
        .cfi_startproc
        push    %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        push    %rbx
        .cfi_adjust_cfa_offset 8
        sub     $8, %rsp
        .cfi_adjust_cfa_offset 8
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        pop     %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_endproc
        .endr
        .section .note.GNU-stack, "", @progbits
