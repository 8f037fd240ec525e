#!/usr/bin/env bash
# Lints of the kernel image. Its flags matter for code generation only, so plain clippy checks the same
# code; `--features image` includes the assembly and the entry point.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd kernel-image
CARGO_TARGET_DIR="$CARGO_TARGET_DIR/kernel-lint" cargo clippy --quiet --locked --features image -- -D warnings
