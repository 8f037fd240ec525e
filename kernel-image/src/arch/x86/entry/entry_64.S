# Interrupt and exception entry, context switch, first instructions of a new thread.
#
# Linux: arch/x86/entry/entry_64.S, v6.8. Kept: names, the order of pt_regs, __switch_to_asm. Differs: code of
# the prebuilt `core` keeps live data in the 128 bytes below the stack pointer, and SSE registers. So every
# gate has an IST stack of its own; an interrupt's frame is copied from there to 128 bytes below the
# interrupted stack pointer, and the handler runs on the interrupted thread's stack, where it may also be
# switched out. FP state is saved with FXSAVE. Exceptions end in a panic and stay on their own stack.

    .section .entry.text, "ax", @progbits
    .code64

.macro PUSH_REGS_BELOW_CX
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
.endm

# asm_<cfunc>: interrupt \vector is handled by \cfunc(regs).
.macro idtentry_sysvec vector cfunc
    .globl asm_\cfunc
    .type asm_\cfunc, @function
asm_\cfunc:
    pushq %rax
    movq 32(%rsp), %rax                         # the interrupted stack pointer
    subq $128, %rax                             # beyond its red zone
    andq $-16, %rax
    pushq 40(%rsp)
    popq -8(%rax)                               # ss
    pushq 32(%rsp)
    popq -16(%rax)                              # sp
    pushq 24(%rsp)
    popq -24(%rax)                              # flags
    pushq 16(%rsp)
    popq -32(%rax)                              # cs
    pushq 8(%rsp)
    popq -40(%rax)                              # ip
    movq $~\vector, -48(%rax)                   # orig_ax: not a system call
    popq -88(%rax)                              # ax, in its place among the registers
    leaq -48(%rax), %rsp
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    subq $8, %rsp
    PUSH_REGS_BELOW_CX
    cld
    movq %rsp, %rbx                             # pt_regs
    movq %rsp, %rdi
    subq $520, %rsp
    fxsave64 (%rsp)
    pushq 128(%rbx)                             # a frame whose return address is the interrupted
    pushq %rbp                                  # instruction, for whoever walks the stack
    movq %rsp, %rbp
    call \cfunc
    jmp restore_regs_and_return_to_kernel
    .size asm_\cfunc, . - asm_\cfunc
.endm

# rbx = pt_regs, FP state below it.
    .globl restore_regs_and_return_to_kernel
    .type restore_regs_and_return_to_kernel, @function
restore_regs_and_return_to_kernel:
    fxrstor64 -520(%rbx)
    movq %rbx, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    addq $8, %rsp
    iretq
    .size restore_regs_and_return_to_kernel, . - restore_regs_and_return_to_kernel

idtentry_sysvec 0xec sysvec_apic_timer_interrupt
idtentry_sysvec 0xfd sysvec_reschedule_ipi
idtentry_sysvec 0xfc sysvec_call_function
idtentry_sysvec 0xfb sysvec_call_function_single
idtentry_sysvec 0xf8 sysvec_reboot
idtentry_sysvec 0xf6 sysvec_irq_work
idtentry_sysvec 0xfe sysvec_error_interrupt
idtentry_sysvec 0xff sysvec_spurious_apic_interrupt
idtentry_sysvec 0x20 common_interrupt

# Exception \vector: registers on its own stack, then exc_common(regs, vector), which does not return.
.macro idtentry vector has_error name
    .globl asm_exc_\name
    .type asm_exc_\name, @function
asm_exc_\name:
    .if \has_error == 0
    pushq $0
    .endif
    pushq %rdi
    movl $\vector, %edi
    jmp error_entry
    .size asm_exc_\name, . - asm_exc_\name
.endm

    .type error_entry, @function
error_entry:
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    PUSH_REGS_BELOW_CX
    cld
    movl %edi, %esi
    movq %rsp, %rdi
    pushq 128(%rdi)
    pushq %rbp
    movq %rsp, %rbp
    andq $-16, %rsp
    call exc_common
    ud2
    .size error_entry, . - error_entry

idtentry 0  0 divide_error
idtentry 1  0 debug
idtentry 2  0 nmi
idtentry 3  0 int3
idtentry 4  0 overflow
idtentry 5  0 bounds
idtentry 6  0 invalid_op
idtentry 7  0 device_not_available
idtentry 8  1 double_fault
idtentry 9  0 coproc_segment_overrun
idtentry 10 1 invalid_tss
idtentry 11 1 segment_not_present
idtentry 12 1 stack_segment
idtentry 13 1 general_protection
idtentry 14 1 page_fault
idtentry 15 0 spurious_interrupt_bug
idtentry 16 0 coprocessor_error
idtentry 17 1 alignment_check
idtentry 18 0 machine_check
idtentry 19 0 simd_coprocessor_error

# __switch_to_asm(prev, next): saves what a call must preserve, changes stacks, goes on in __switch_to, whose
# return is next's return from here.
    .globl __switch_to_asm
    .type __switch_to_asm, @function
__switch_to_asm:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, {TASK_threadsp}(%rdi)
    movq {TASK_threadsp}(%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    jmp __switch_to
    .size __switch_to_asm, . - __switch_to_asm

# A new thread starts here: rax is the task switched away from, rbx its ForkFrame (process.rs).
    .globl ret_from_fork_asm
    .type ret_from_fork_asm, @function
ret_from_fork_asm:
    movq %rax, %rdi
    movq %rbx, %rsi
    xorl %ebp, %ebp
    call ret_from_fork
    ud2
    .size ret_from_fork_asm, . - ret_from_fork_asm
