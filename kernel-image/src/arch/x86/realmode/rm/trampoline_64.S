# A secondary CPU's first instructions, copied to a page below 1 MiB: real mode, protected mode, long mode,
# then secondary_startup_64.
#
# Linux: arch/x86/realmode/rm/trampoline_64.S, v6.8. Kept: the stages and the symbols of the patched fields.
# Differs: no stack and no lock, so that all CPUs may pass at once; nothing is written while it runs, so the
# page is mapped read and execute.

    .section .rodata.trampoline, "a", @progbits
    .balign 4096
    .globl trampoline_start, trampoline_end
    .globl tr_ljmp32, tr_ljmp64, tr_gdt_base, tr_cr3, tr_start
trampoline_start:
    .code16
    cli
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %cs, %bx
    shll $4, %ebx                               # physical address of this page
    lgdtl tr_gdt_desc - trampoline_start
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl *(tr_ljmp32 - trampoline_start)

    .code32
    .globl trampoline_32
trampoline_32:
    movw $0x18, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x20, %eax                            # PAE
    movl %eax, %cr4
    movl (tr_cr3 - trampoline_start)(%ebx), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                      # EFER: LME, NXE
    xorl %edx, %edx
    movl $0x900, %eax
    wrmsr
    movl $0x80050033, %eax
    movl %eax, %cr0
    ljmpl *(tr_ljmp64 - trampoline_start)(%ebx)

    .code64
    .globl trampoline_64
trampoline_64:
    jmpq *(tr_start - trampoline_start)(%rbx)

    .balign 16
    .globl tr_gdt
tr_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff                    # 0x08: 32-bit code
    .quad 0x00af9b000000ffff                    # 0x10: 64-bit code
    .quad 0x00cf93000000ffff                    # 0x18: data
tr_gdt_desc:
    .word 31
tr_gdt_base:
    .long 0
    .balign 8
tr_ljmp32:
    .long 0
    .word 0x08
    .balign 8
tr_ljmp64:
    .long 0
    .word 0x10
    .balign 8
tr_cr3:
    .long 0
    .balign 8
tr_start:
    .quad 0
trampoline_end:
    .code64
