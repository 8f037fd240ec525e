//! Tracepoints: one `nop` each, whether or not anyone looks.
//!
//! Linux: include/linux/tracepoint.h, v6.8, whose sites are patched jumps to a probe function.
//! **Differs** a site here is a single `nop` that records itself in the section `.tracepoints` as two words:
//! the address of the nop and the address of its NUL-terminated name. Its arguments are in rdi, rsi, rdx,
//! rcx, r8, r9, in this order, all memory written before is in memory. The tracer of kreplay stops there
//! from outside; the kernel never knows. A site that is inlined twice is in the table twice.

/// Anything a tracepoint can pass: integers as they are, references and pointers as addresses.
pub trait TraceArg {
    /// The register value.
    fn word(self) -> u64;
}

macro_rules! integer_args {
    ($($int:ty)*) => {$(
        impl TraceArg for $int {
            #[inline(always)]
            fn word(self) -> u64 {
                self as u64
            }
        }
    )*};
}
integer_args!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize bool);

impl<T> TraceArg for &T {
    #[inline(always)]
    fn word(self) -> u64 {
        core::ptr::from_ref(self) as u64
    }
}
impl<T> TraceArg for *const T {
    #[inline(always)]
    fn word(self) -> u64 {
        self as u64
    }
}
impl<T> TraceArg for *mut T {
    #[inline(always)]
    fn word(self) -> u64 {
        self as u64
    }
}
impl<T> TraceArg for Option<&T> {
    #[inline(always)]
    fn word(self) -> u64 {
        self.map_or(0, |it| core::ptr::from_ref(it) as u64)
    }
}

/// Marks a tracepoint: `tracepoint!("sched:sched_switch", preempt, prev, next, prev_state)`.
#[macro_export]
macro_rules! tracepoint {
    ($name:literal) => { $crate::tracepoint!(@site $name,) };
    ($name:literal, $a:expr) => { $crate::tracepoint!(@site $name, in("rdi") $a,) };
    ($name:literal, $a:expr, $b:expr) => {
        $crate::tracepoint!(@site $name, in("rdi") $a, in("rsi") $b,)
    };
    ($name:literal, $a:expr, $b:expr, $c:expr) => {
        $crate::tracepoint!(@site $name, in("rdi") $a, in("rsi") $b, in("rdx") $c,)
    };
    ($name:literal, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::tracepoint!(@site $name, in("rdi") $a, in("rsi") $b, in("rdx") $c, in("rcx") $d,)
    };
    ($name:literal, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::tracepoint!(@site $name,
            in("rdi") $a, in("rsi") $b, in("rdx") $c, in("rcx") $d, in("r8") $e,)
    };
    ($name:literal, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr) => {
        $crate::tracepoint!(@site $name,
            in("rdi") $a, in("rsi") $b, in("rdx") $c, in("rcx") $d, in("r8") $e, in("r9") $f,)
    };
    (@site $name:literal, $(in($reg:tt) $arg:expr,)*) => {{
        #[allow(unsafe_code, clippy::macro_metavars_in_unsafe)]
        // SAFETY: a nop; the section directives only describe it.
        unsafe {
            core::arch::asm!(
                "771: nop",
                ".pushsection .tracepoint_names, \"a\", @progbits",
                concat!("772: .asciz \"", $name, "\""),
                ".popsection",
                ".pushsection .tracepoints, \"a\", @progbits",
                ".balign 8",
                ".quad 771b, 772b",
                ".popsection",
                $(in($reg) $crate::include::linux::tracepoint::TraceArg::word($arg),)*
                options(nostack, preserves_flags, readonly),
            );
        }
    }};
}
