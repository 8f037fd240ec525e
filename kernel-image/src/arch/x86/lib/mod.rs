//! arch/x86/lib: memcpy and friends, in memcpy_64.S (the prebuilt compiler_builtins leaves them out).
