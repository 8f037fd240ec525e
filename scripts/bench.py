"""What recording and probing cost, and how fast the machine is, as ratios: interleaved rounds of one run.

usage: bench.py KREPLAY_MACHINE --kernel VMLINUX --linux FOLDER --initrd FILE --qemu COMMAND --probe EXAMPLE [--rounds N]

Absolute seconds belong to the computer that printed them; the ratios compare. CPU seconds (what other
processes do to the clock on the wall does not count), medians with the least and the largest, after one
warm-up round. Standard library only.

QEMU runs the same images with `-icount shift=0,sleep=off`: it too counts instructions exactly and runs one
CPU at a time. Its instructions are the guest's virtual nanoseconds at the end; the time it skips while every
CPU is idle is counted for it. An older QEMU, whose -icount has one CPU only, runs plain, on one thread.
"""

import argparse
import os
import platform
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import time
from statistics import median

FRAME_HEADER = 40
EVENTS, STACKS = 4, 5
# Work in cycles, in place of a number of moves: threads that compute, with a rest now and then.
BUSY = "affinity.moves=1 affinity.insns=1000000000"


def timed(command):
    """CPU seconds, wall seconds, standard output."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace")
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {child.returncode}\n{output}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start, output


def rounds(subjects, count):
    """For each subject its CPU seconds in every round, and what it printed last; one warm-up round first."""
    times, outputs = {name: [] for name in subjects}, {}
    for number in range(count + 1):
        for name, command in subjects.items():
            cpu, _, outputs[name] = timed(command)
            if number > 0:
                times[name].append(cpu)
    return times, outputs


def show(name, times, base, what):
    print(f"  {name:<34} {median(times):7.3f} s ({min(times):.3f} to {max(times):.3f})  {median(times) / base:5.2f} x {what}")


def frames(path):
    """(kind, rows, bytes) of each frame; the layout is drawn in trace/src/krec.rs."""
    with open(path, "rb") as file:
        data = file.read()
    at = 16
    while at < len(data):
        magic, kind, _, _, _, stored, rows = struct.unpack_from("<4sBBHIII", data, at)
        assert magic == b"kfrm", f"no frame at byte {at}"
        yield kind, rows, FRAME_HEADER + stored
        at += FRAME_HEADER + stored


def machine_name():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {platform.release()}"


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        sys.exit(f"no `{pattern}` in:\n{text}")
    return float(found[1])


def recording(exe, count, folder):
    krec = os.path.join(folder, "bench.krec")
    times, _ = rounds(
        {
            "not recording": [exe, "run"],
            "recording": [exe, "record", "-o", krec],
            "10 probes inside blocks": [exe, "run", "--probes", "10"],
            "1,000 probes inside blocks": [exe, "run", "--probes", "1000"],
        },
        count,
    )
    print("recording: affinity on 2 CPUs, boot to power-off")
    base = median(times["not recording"])
    for name, took in times.items():
        show(name, took, base, "not recording")
    events = [(rows, size) for kind, rows, size in frames(krec) if kind == EVENTS]
    stacks = sum(size for kind, _, size in frames(krec) if kind == STACKS)
    total = sum(rows for rows, _ in events)
    size = sum(size for _, size in events)
    print(f"  events: {total}, {size / total:.2f} bytes each without stacks, stacks {stacks} bytes in all")
    ratio = median(times["recording"]) / base
    print(f"  recording costs {100 * (ratio - 1):.1f} % over not recording (aims: 15 %, then 10 %)")


def probe(exe, count):
    print("a probe with three arguments (aim: under 50 ns)")
    for line in timed([exe, str(count)])[2].splitlines():
        print(f"  {line}")


def speed(exe, count, kernel, qemu, icount):
    for cpus, least, aim in [(1, 0.6, 0.9), (2, 0.35, 0.6)]:
        theirs = [*qemu, "-smp", str(cpus), *icount, "-kernel", kernel, "-append", f"workload=affinity {BUSY}"]
        ours = [exe, "run", "--kernel", kernel, "--smp", str(cpus), "--append", BUSY]
        times, outputs = rounds({"kreplay": ours, "QEMU": theirs}, count)
        insns = number(r"(\d+) instructions", outputs["kreplay"])
        ended = number(r"\[ *(\d+\.\d+)\] reboot: Power down", outputs["QEMU"]) * 1e9
        ours_speed, theirs_speed = insns / median(times["kreplay"]), ended / median(times["QEMU"])
        print(f"speed with {cpus} busy vCPU{'s' * (cpus > 1)}, counting exactly, quantum 1,000")
        for name, speed in [("kreplay", ours_speed), ("QEMU", theirs_speed)]:
            print(f"  {name:<34} {speed / 1e6:7.0f} million instructions a CPU second ({min(times[name]):.2f} to {max(times[name]):.2f} s)")
        print(f"  {ours_speed / theirs_speed:.2f} x QEMU (at least {least}, aim {aim})")


def linux(exe, count, folder, initrd, qemu, icount):
    kernel = os.path.join(folder, "vmlinuz")
    # /init at once powers off: what is measured is the boot.
    words = "rdinit=/bin/busybox -- poweroff -f"
    quiet = "console=ttyS0 nokaslr mitigations=off nopti tsc=reliable audit=0 nowatchdog idle=halt cryptomgr.notests pci=off"
    ours = [exe, "run", "--kernel", kernel, "--initrd", initrd, "--append", words]
    theirs = [*qemu, "-smp", "2", *icount, "-kernel", kernel, "-initrd", initrd, "-append", f"{quiet} {words}"]
    times, _ = rounds({"kreplay": ours, "QEMU": theirs}, count)
    print("Debian's cloud kernel 6.1 on 2 vCPUs, boot to /init")
    base = median(times["QEMU"])
    for name, took in times.items():
        show(name, took, base, "QEMU")


def side_by_side(exe, count, folder):
    def together(n):
        start = time.perf_counter()
        children = [
            subprocess.Popen([exe, "record", "-o", os.path.join(folder, f"{i}.krec")], stdout=subprocess.DEVNULL)
            for i in range(n)
        ]
        for child in children:
            if child.wait() != 0:
                sys.exit("a recording failed")
        return time.perf_counter() - start

    together(2)
    scales = [2 * together(1) / together(2) for _ in range(2 * count)]
    print(f"two recordings at once: {median(scales):.2f} times the throughput of one ({min(scales):.2f} to {max(scales):.2f}; aim: 1.8)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("machine")
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--linux", required=True)
    parser.add_argument("--initrd", required=True)
    parser.add_argument("--probe", required=True)
    parser.add_argument("--qemu", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    exe, count = options.machine, options.rounds

    qemu = shlex.split(options.qemu)
    version = subprocess.run([*qemu, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    # No VGA and no sound: their code comes in modules, and those that are installed may be of another version.
    machine = [*qemu, "-machine", "pc", "-m", "256", "-nodefaults", "-vga", "none", "-display", "none", "-no-reboot"]
    machine += ["-serial", "stdio"]
    machine += ["-rtc", "base=2024-01-01,clock=vm"]
    if number(r"version (\d+)", version) >= 10:
        icount = ["-accel", "tcg", "-icount", "shift=0,sleep=off"]
    else:
        icount = ["-accel", "tcg,thread=single"]

    print(f"machine: {machine_name()}")
    print(f"QEMU: {version}; {' '.join(icount)}")
    print(f"{count} rounds, CPU seconds")
    with tempfile.TemporaryDirectory() as folder:
        recording(exe, count, folder)
        probe(options.probe, count)
        speed(exe, count, options.kernel, machine, icount)
        linux(exe, count, options.linux, options.initrd, machine, icount)
        side_by_side(exe, count, folder)


if __name__ == "__main__":
    main()
