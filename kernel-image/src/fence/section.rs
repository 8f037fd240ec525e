//! Sections of the image that are filled in after it was compiled.
#![expect(unsafe_code, reason = "the linker script's symbols around a section")]

/// The bytes of `.kallsyms`: behind symbols, because what the compiler knows of them is that they are zero.
pub fn kallsyms_section() -> &'static [u8] {
    unsafe extern "C" {
        static __start_kallsyms: u8;
        static __stop_kallsyms: u8;
    }
    let (start, stop) = (&raw const __start_kallsyms, &raw const __stop_kallsyms);
    // SAFETY: the linker script puts the two around one section, which is mapped read-only for ever.
    unsafe { core::slice::from_raw_parts(start, stop as usize - start as usize) }
}
