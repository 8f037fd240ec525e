#!/usr/bin/env bash
# Runs a guest kernel under QEMU and prints its console: another machine than ours must bring the same image to
# the same end. cli/tests/e2e/witness.rs compares; by hand: scripts/witness.sh --cpus 4 --append "workload=idle".
#   --image FILE   the kernel; without it, the one of this tree is built
#   --cpus N       2 unless given
#   --append TEXT  the kernel's command line
#   --threads multi  each CPU in a thread of its own, really parallel; without it they take turns in one thread.
#                  Parallel, the host decides who waits for whom and for how long: for workloads that do not
#                  measure time, as stopstorm, hackbench, forkexec, hotplug and rcutorture.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

image='' cpus=2 append='workload=stopstorm stopstorm.rounds=28 stopstorm.patience_ms=0 kreplay.tasks=1' threads=single
while [ $# -gt 0 ]; do
    case $1 in
    --image) image=$(readlink -f "$2") || die "there is no $2" ;;
    --cpus) cpus=$2 ;;
    --append) append=$2 ;;
    --threads) threads=$2 ;;
    *) die "unknown argument $1; usage: scripts/witness.sh [--image FILE] [--cpus N] [--append TEXT] [--threads multi]" ;;
    esac
    shift 2
done

# What is installed on the way is no part of the console.
need_qemu >&2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
if [ -z "$image" ]; then
    cargo run --quiet -p kreplay-image --example build -- kernel-image "$out" >&2
    image=$out/vmlinux
fi
status=0
timeout 300 qemu-system-x86_64 -M pc -accel "tcg,thread=$threads" -m 256 -smp "$cpus" -display none -no-reboot \
    -serial stdio -kernel "$image" -append "$append" </dev/null | tee "$out/console" || status=$?
[ "$status" = 0 ] || { echo "witness: QEMU did not come to an end of its own ($status)" >&2; exit 1; }
grep -Eq 'reboot: Power down' "$out/console" || { echo "witness: the kernel did not power off" >&2; exit 1; }
if grep -Eq 'WARNING|BUG|Kernel panic' "$out/console"; then
    echo "witness: the kernel complained" >&2
    exit 1
fi
