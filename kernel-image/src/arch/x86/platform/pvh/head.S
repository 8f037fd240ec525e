# The PVH entry: 32-bit, paging off, ebx = hvm_start_info. For loaders that know nothing else of an ELF kernel
# (QEMU's -kernel): goes to long mode, makes boot_params of what it was given and joins startup_64.
#
# Linux: arch/x86/platform/pvh/head.S, enlighten.c, v6.8. Kept: the note, the entry's name. Differs: the memory
# map and the command line are converted here, in assembly, before the kernel's own page tables stand.

    .set PVH_OFFSET, 0xffffffff80000000

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18                              # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_start_xen - PVH_OFFSET

    .section .head.text, "ax", @progbits
    .code32
    .globl pvh_start_xen
    .type pvh_start_xen, @function
pvh_start_xen:
    cli
    cld
    lgdtl pvh_gdt_descr - PVH_OFFSET
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %ebx, %ebp                             # hvm_start_info

    # The first 4 GiB where they are, in 2 MiB pages.
    movl $(pvh_page_tables - PVH_OFFSET), %edi
    leal 0x1003(%edi), %eax
    movl %eax, (%edi)
    movl $4, %ecx
1:  leal 0x1003(%edi), %eax                     # directory n lies n pages behind the first
    shll $12, %ecx
    addl %ecx, %eax
    shrl $12, %ecx
    movl %eax, 0xff8(%edi,%ecx,8)
    loop 1b
    leal 0x2000(%edi), %edi
    movl $0x83, %eax
    movl $2048, %ecx
2:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b

    movl $0x20, %eax                            # PAE
    movl %eax, %cr4
    movl $(pvh_page_tables - PVH_OFFSET), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                      # EFER: LME
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl $0x80000011, %eax                      # PG, ET, PE
    movl %eax, %cr0
    ljmpl $0x10, $(.Lpvh_64 - PVH_OFFSET)

    .code64
.Lpvh_64:
    movl %ebp, %ebx                             # hvm_start_info, zero-extended
    leaq pvh_bootparams(%rip), %rsi
    movq 32(%rbx), %rax                         # rsdp_paddr
    movq %rax, 0x70(%rsi)
    movq 24(%rbx), %rax                         # cmdline_paddr
    movl %eax, 0x228(%rsi)
    movl 48(%rbx), %ecx                         # memmap_entries
    cmpl $128, %ecx
    jbe 3f
    movl $128, %ecx
3:  movb %cl, 0x1e8(%rsi)
    movq 40(%rbx), %rdx                         # memmap_paddr: address, size, type, reserved
    leaq 0x2d0(%rsi), %rdi
4:  testl %ecx, %ecx
    jz startup_64
    movq (%rdx), %rax
    movq %rax, (%rdi)
    movq 8(%rdx), %rax
    movq %rax, 8(%rdi)
    movl 16(%rdx), %eax
    movl %eax, 16(%rdi)
    addq $24, %rdx
    addq $20, %rdi
    decl %ecx
    jmp 4b
    .size pvh_start_xen, . - pvh_start_xen

    .section .data..page_tables, "aw", @progbits
pvh_gdt_descr:
    .word 31
    .long early_gdt - PVH_OFFSET

    .section .bss..page_aligned, "aw", @nobits
    .balign 4096
pvh_page_tables:        .skip 6 * 4096
pvh_bootparams:         .skip 4096
