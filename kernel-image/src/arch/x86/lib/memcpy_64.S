# memcpy, memmove, memset, memcmp, bcmp: what compiled code calls.
# Linux: arch/x86/lib/memcpy_64.S, memmove_64.S, memset_64.S, v6.8. Differs: string instructions for long
# runs, by eight bytes, and nothing cleverer: one iteration is one instruction of virtual time.

    .text
    .globl memcpy
    .type memcpy, @function
memcpy:
    movq %rdi, %rax
    movq %rdx, %rcx
    shrq $3, %rcx
    andl $7, %edx
    rep movsq
    movl %edx, %ecx
    rep movsb
    ret
    .size memcpy, . - memcpy

    .globl memmove
    .type memmove, @function
memmove:
    movq %rdi, %rax
    subq %rsi, %rax
    cmpq %rdx, %rax
    jae memcpy                      # not (source < destination < source + n)
    movq %rdi, %rax
    leaq -1(%rdi,%rdx), %rdi
    leaq -1(%rsi,%rdx), %rsi
    movq %rdx, %rcx
    std
    rep movsb
    cld
    ret
    .size memmove, . - memmove

    .globl memset
    .type memset, @function
memset:
    movq %rdi, %r9
    movzbl %sil, %eax
    movabsq $0x0101010101010101, %rcx
    imulq %rcx, %rax
    movq %rdx, %rcx
    shrq $3, %rcx
    andl $7, %edx
    rep stosq
    movl %edx, %ecx
    rep stosb
    movq %r9, %rax
    ret
    .size memset, . - memset

    .globl memcmp
    .type memcmp, @function
    .globl bcmp
    .type bcmp, @function
memcmp:
bcmp:
    xorl %eax, %eax
    xorl %ecx, %ecx
1:  cmpq %rdx, %rcx
    je 2f
    movzbl (%rdi,%rcx), %eax
    movzbl (%rsi,%rcx), %r8d
    incq %rcx
    subl %r8d, %eax
    je 1b
2:  ret
    .size memcmp, . - memcmp
    .size bcmp, . - bcmp

    .globl strlen
    .type strlen, @function
strlen:
    xorl %eax, %eax
1:  cmpb $0, (%rdi,%rax)
    je 2f
    incq %rax
    jmp 1b
2:  ret
    .size strlen, . - strlen
