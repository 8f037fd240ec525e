#!/usr/bin/env bash
# Every test: format, lints, licences, unit and end-to-end tests. `--long` adds the slow ones.
# The last line counts what the test runner reported.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

for arg in "$@"; do
    case $arg in
    --long) export KREPLAY_LONG=1 ;;
    *) die "unknown argument $arg; usage: scripts/test.sh [--long]" ;;
    esac
done

need_build_tools
need_cargo_deny
need_python
need_perf
need_trace_readers
need_qemu
started=$SECONDS
step() { say "[$((SECONDS - started)) s] $*"; }

step "format"
cargo fmt --all --check
(cd kernel-image && cargo fmt --check)

step "licences: what each executable links"
# --offline: the licences are in the crates; only the advisory database would need the network.
cargo fetch --quiet --locked
deny() { cargo deny --log-level error --manifest-path "$1" --offline --config "$2" check bans licenses sources; }
deny cli/Cargo.toml deny.toml
deny cli/machine/Cargo.toml cli/machine/deny.toml

build

step "lints"
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
cargo run --quiet --locked -p kreplay-image --example lint -- kernel-image "$CARGO_TARGET_DIR/kernel-lint"

step "the Linux guest"
scripts/linux-guest.sh >/dev/null

step "tests"
export KREPLAY_PYTHON="$VENV/bin/python" KREPLAY_TRACE_PROCESSOR="$TRACE_PROCESSOR"
log="$CARGO_TARGET_DIR/test.log"
status=0
(cd kernel-image && CARGO_TARGET_DIR="$CARGO_TARGET_DIR/kernel-tests" cargo test --locked 2>&1) | tee "$log" || status=$?
cargo test --locked --workspace --doc 2>&1 | tee -a "$log" || status=$?
cargo test --locked --workspace --lib --bins --tests --no-fail-fast 2>&1 | tee -a "$log" || status=$?

step "done"
[ "$status" = 0 ] || say "not everything passed, or not everything was built: see above ($log)"
# The sum of the runner's own lines, one per test program.
awk '/^test result:/ { for (i = 1; i <= NF; i++) {
        if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1); if ($i ~ /^ignored/) s += $(i - 1) } }
    END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$log"
exit "$status"
