#!/usr/bin/env bash
# From a clean clone to a migration report and a timeline: builds, records a boot of the built-in kernel
# on two emulated CPUs, prints the reports and writes the pictures and a page with them into demo/.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_build_tools
build
mkdir -p demo
run() {
    printf '\n$ kreplay %s\n' "$*"
    "$KREPLAY" "$@"
}
# The first lines of a long report; the whole of it goes to a file.
head_of() {
    local file=$1 lines=$2
    shift 2
    printf '\n$ kreplay %s\n' "$*"
    "$KREPLAY" "$@" >"$file"
    head -n "$lines" "$file"
    local all
    all=$(wc -l <"$file")
    [ "$all" -le "$lines" ] || printf '... %d more lines in %s\n' $((all - lines)) "$file"
}

say "a boot on two CPUs"
run record -o demo/boot.krec
say "its reports"
head_of demo/migration.txt 60 analyze migration --rows 8 demo/boot.krec
head_of demo/stopper.txt 60 analyze stopper --rows 8 demo/boot.krec
head_of demo/latency.txt 30 analyze latency demo/boot.krec
head_of demo/boot.txt 40 analyze boot --table calls demo/boot.krec
head_of demo/ps.txt 30 ps demo/boot.krec
head_of demo/calls.txt 40 calls --from start_kernel --to set_task_rq_fair demo/boot.krec
say "its pictures"
run plot timeline demo/boot.krec -o demo/timeline.svg
run plot migration demo/boot.krec -o demo/migration.svg
run plot matrix demo/boot.krec -o demo/matrix.svg
run plot latency demo/boot.krec -o demo/latency.svg
run plot boot demo/boot.krec -o demo/boot.svg

page() {
    local title=$1 file=$2
    printf '<h2>%s</h2>\n<pre>' "$title"
    sed 's/&/\&amp;/g; s/</\&lt;/g' "$file"
    printf '</pre>\n'
}
{
    printf '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>kreplay: a boot</title>\n'
    printf '<style>body{font:16px/1.5 sans-serif;margin:2rem;max-width:1500px}pre{overflow:auto;max-height:32rem;'
    printf 'background:#f4f4f4;padding:1rem;font-size:13px}img{max-width:100%%}</style>\n'
    printf '<h1>A boot on two emulated CPUs</h1>\n'
    printf '<p>One run of the built-in kernel with workload <code>affinity</code>. Times are virtual: one '
    printf 'executed instruction is one nanosecond.</p>\n'
    printf '<h2>What ran where</h2>\n<img src="timeline.svg" alt="Timeline of the CPUs">\n'
    printf '<h2>How long moves took</h2>\n<img src="migration.svg" alt="Phases and distribution of the moves">\n'
    printf '<h2>From where to where</h2>\n<img src="matrix.svg" alt="Matrix of the moves">\n'
    printf '<h2>How long tasks waited for a CPU</h2>\n<img src="latency.svg" alt="Distribution of the delays">\n'
    printf '<h2>How it booted</h2>\n<img src="boot.svg" alt="Steps of the boot and its threads">\n'
    page 'Migration report' demo/migration.txt
    page 'Stopper report' demo/stopper.txt
    page 'Latency of each task, as perf sched latency' demo/latency.txt
    page 'The calls of the boot' demo/boot.txt
    page 'Tasks at the end' demo/ps.txt
    page 'From start_kernel to set_task_rq_fair' demo/calls.txt
    printf '</html>\n'
} >demo/index.html
say "look at demo/index.html"
