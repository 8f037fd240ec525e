# The first instructions: of the boot CPU (startup_64, by the Linux 64-bit boot protocol) and of every other
# CPU (secondary_startup_64, from the trampoline).
#
# Linux: arch/x86/kernel/head_64.S, v6.8. Kept: names, page table layout, how a secondary CPU finds its number
# and stack. Differs: permissions are final from the first page table on (text RX, rodata R, data RW and NX).

    .set LOAD_OFFSET_, 0xffffffff80000000
    .set PAGE_TABLE, 0x63                       # present, writable, accessed, dirty
    .set PMD_RX, 0x1a1                          # present, accessed, 2 MiB, global
    .set PMD_RW, 0x1e3                          # and writable, dirty
    .set PTE_NX, 0x8000000000000000

    .section .head.text, "ax", @progbits
    .code64
    .globl startup_64
    .type startup_64, @function
startup_64:
    # Long mode, identity mapping of the loader, interrupts off, rsi = boot_params (physical).
    cli
    cld
    movq %rsi, %r15
    leaq init_stack_top(%rip), %rsp

    # A 2 MiB range of this image: [from, to) mapped with flags into the table at r8, indexed from -2 GiB.
    leaq level2_kernel_pgt(%rip), %r8
    leaq _text(%rip), %rsi
    leaq _etext(%rip), %rdx
    movq $PMD_RX, %rax
    call .Lmap_range
    leaq __start_rodata(%rip), %rsi
    leaq __end_rodata(%rip), %rdx
    movabsq $(PMD_RX + PTE_NX), %rax
    call .Lmap_range
    leaq _sdata(%rip), %rsi
    leaq _end(%rip), %rdx
    movabsq $(PMD_RW + PTE_NX), %rax
    call .Lmap_range
    # Text once more where it runs now, until the jump below.
    leaq level2_ident_pgt(%rip), %r8
    leaq _text(%rip), %rsi
    leaq _etext(%rip), %rdx
    movq $PMD_RX, %rax
    call .Lmap_range
    # The first GiB of memory at PAGE_OFFSET, not executable; init_mem_mapping does the rest.
    leaq level2_direct_pgt(%rip), %r8
    xorl %esi, %esi
    movl $0x40000000, %edx
    movabsq $(PMD_RW + PTE_NX), %rax
    call .Lmap_range

    call .Lenable_features
    leaq init_top_pgt(%rip), %rax
    movq %rax, %cr3
    movq $.Lhigh, %rax
    jmp *%rax

    # rsi from, rdx to (physical), rax flags, r8 page middle directory (physical).
.Lmap_range:
    andq $-0x200000, %rsi
1:  cmpq %rdx, %rsi
    jae 2f
    movq %rsi, %rcx
    shrq $21, %rcx
    andl $511, %ecx
    leaq (%rsi,%rax), %r9
    movq %r9, (%r8,%rcx,8)
    addq $0x200000, %rsi
    jmp 1b
2:  ret

    # No-execute, SSE, global pages, write protection of read-only pages in the kernel.
.Lenable_features:
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x800, %eax
    wrmsr
    movq $0x6a0, %rax                           # PAE, PGE, OSFXSR, OSXMMEXCPT
    movq %rax, %cr4
    movl $0x80050033, %eax                      # PG, AM, WP, NE, ET, MP, PE
    movq %rax, %cr0
    ret

.Lhigh:
    # Running at the linked address. Forget the identity mapping.
    movq $0, init_top_pgt(%rip)
    movq %cr3, %rax
    movq %rax, %cr3
    leaq init_stack_top(%rip), %rsp
    xorl %ebx, %ebx                             # CPU 0
    call .Lload_segments
    xorl %ebp, %ebp
    movq %r15, %rdi
    call x86_64_start_kernel
    ud2
    .size startup_64, . - startup_64

    # Descriptors of our own, GS at this CPU's pcpu_hot; ebx = CPU number.
.Lload_segments:
    lgdt early_gdt_descr(%rip)
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl %ebx, %eax
    shlq $6, %rax
    leaq pcpu_hot(%rip), %rdx
    addq %rdx, %rax
    movq %rax, %rdx
    shrq $32, %rdx
    movl $0xc0000101, %ecx                      # GS base
    wrmsr
    popq %rax
    pushq $0x10
    pushq %rax
    lretq

    .globl secondary_startup_64
    .type secondary_startup_64, @function
secondary_startup_64:
    # From the trampoline: long mode on the trampoline's page tables, no stack. Several CPUs may be here.
    movq $init_top_pgt - LOAD_OFFSET_, %rax
    movq %rax, %cr3
    # The APIC id says which CPU this is (the table is filled from the MADT).
    movl $1, %eax
    cpuid
    shrl $24, %ebx
    movl %ebx, %edx
    xorl %ebx, %ebx
    leaq cpuid_to_apicid(%rip), %rcx
1:  cmpl (%rcx,%rbx,4), %edx
    je 2f
    incl %ebx
    cmpl $64, %ebx
    jb 1b
3:  cli                                         # an APIC id that no table knows
    hlt
    jmp 3b
2:  movl %ebx, %eax
    shlq $6, %rax
    leaq pcpu_hot(%rip), %rdx
    movq {PCPU_current}(%rdx,%rax), %rax        # its idle task
    movq {TASK_threadsp}(%rax), %rsp
    call .Lenable_features
    call .Lload_segments
    andq $-16, %rsp
    xorl %ebp, %ebp                             # end of the frame chain
    call start_secondary
    ud2
    .size secondary_startup_64, . - secondary_startup_64

    .section .data..page_tables, "aw", @progbits
    .balign 4096
    .globl init_top_pgt
init_top_pgt:
    .quad level3_ident_pgt - LOAD_OFFSET_ + PAGE_TABLE
    .skip 8 * 272
    .quad level3_direct_pgt - LOAD_OFFSET_ + PAGE_TABLE     # 273: PAGE_OFFSET
    .skip 8 * 128
    .quad level3_vmalloc_pgt - LOAD_OFFSET_ + PAGE_TABLE    # 402: VMALLOC_START
    .skip 8 * 108
    .quad level3_kernel_pgt - LOAD_OFFSET_ + PAGE_TABLE     # 511
    .globl trampoline_pgd
trampoline_pgd:
    .quad level3_tramp_pgt - LOAD_OFFSET_ + PAGE_TABLE
    .skip 8 * 510
    .quad level3_kernel_pgt - LOAD_OFFSET_ + PAGE_TABLE
level3_ident_pgt:
    .quad level2_ident_pgt - LOAD_OFFSET_ + PAGE_TABLE
    .skip 8 * 511
level3_tramp_pgt:
    .quad level2_tramp_pgt - LOAD_OFFSET_ + PAGE_TABLE
    .skip 8 * 511
level2_tramp_pgt:
    .quad 0xa1                                              # first 2 MiB, read and execute
    .skip 8 * 511
    .globl level3_direct_pgt
level3_direct_pgt:
    .quad level2_direct_pgt - LOAD_OFFSET_ + PAGE_TABLE
    .skip 8 * 511
level3_kernel_pgt:
    .skip 8 * 510
    .quad level2_kernel_pgt - LOAD_OFFSET_ + PAGE_TABLE     # 510: the last 2 GiB
    .quad level2_fixmap_pgt - LOAD_OFFSET_ + PAGE_TABLE     # 511
level2_fixmap_pgt:
    .skip 8 * 506
    .quad level1_fixmap_pgt - LOAD_OFFSET_ + PAGE_TABLE
    .skip 8 * 5

    .balign 16
    .globl early_gdt
early_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff                                # 0x08: 32-bit code
    .quad 0x00af9b000000ffff                                # 0x10: 64-bit code
    .quad 0x00cf93000000ffff                                # 0x18: data
early_gdt_descr:
    .word 31
    .quad early_gdt

    .section .bss..page_aligned, "aw", @nobits
    .balign 4096
    .globl level2_kernel_pgt, level2_direct_pgt, level3_vmalloc_pgt, level1_fixmap_pgt
level2_kernel_pgt:      .skip 4096
level2_ident_pgt:       .skip 4096
level2_direct_pgt:      .skip 4096
level3_vmalloc_pgt:     .skip 4096
level1_fixmap_pgt:      .skip 4096
    # The boot CPU's stacks, each above a page that mm_core_init unmaps.
    .globl init_stack_guard, init_stack, init_stack_top
init_stack_guard:       .skip 4096
init_stack:             .skip 16384
init_stack_top:
    .globl boot_exception_stacks
boot_exception_stacks:  .skip 4 * (4096 + 16384)
