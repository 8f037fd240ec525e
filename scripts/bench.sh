#!/usr/bin/env bash
# What recording and probing cost, and how fast the machine is beside QEMU's `-icount`: ratios measured in one run
# on this computer. scripts/bench.py says what and how; its arguments are passed on (--rounds N).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_build_tools
command -v python3 >/dev/null || install_packages Python python3,python3,python
build
need_qemu_icount
initrd=$CARGO_TARGET_DIR/bench.cpio
guest=$(scripts/linux-guest.sh "$initrd")
kernel=$CARGO_TARGET_DIR/bench-vmlinux
"$MACHINE" info -o "$kernel" >/dev/null
cargo build --quiet --locked -p emu --example probe
exec python3 scripts/bench.py "$MACHINE" --kernel "$kernel" --linux "$guest" --initrd "$initrd" --qemu "$QEMU" \
    --probe "$CARGO_TARGET_DIR/debug/examples/probe" "$@"
