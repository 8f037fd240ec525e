#!/bin/sh
# Runs the guest kernel under QEMU: another machine than ours, with CPUs that really run in parallel, must bring the
# same image to the same end. Not part of scripts/test.sh: QEMU is large. Debian: apt-get install qemu-system-x86.
set -eu
cd "$(dirname "$0")/.."
cpus=${1:-2}
moves=${2:-200}
if ! command -v qemu-system-x86_64 >/dev/null; then
    echo "witness: qemu-system-x86_64 is missing; on Debian: apt-get install --no-install-recommends qemu-system-x86" >&2
    exit 2
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --quiet -p kreplay-image --example build -- kernel-image "$out" >/dev/null
timeout 300 qemu-system-x86_64 -M pc,accel=tcg -m 256 -smp "$cpus" -display none -no-reboot -serial stdio \
    -kernel "$out/vmlinux" -append "workload=affinity affinity.moves=$moves" </dev/null | tee "$out/console"
grep -q "affinity: done, all counts agree" "$out/console" || {
    echo "witness: the workload did not reach its end" >&2
    exit 1
}
if grep -Eq "WARNING|BUG|Kernel panic" "$out/console"; then
    echo "witness: the kernel complained" >&2
    exit 1
fi
echo "witness: QEMU agrees, $cpus CPUs, $moves moves"
