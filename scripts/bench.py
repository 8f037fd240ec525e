"""What recording costs, as ratios: the same scenario with and without it, in interleaved rounds.

usage: bench.py KREPLAY_MACHINE [--rounds N]

Absolute seconds belong to the machine that printed them; the ratios compare. Medians, with the least and
the largest, after one warm-up round. Standard library only.
"""

import argparse
import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
from statistics import median

FRAME_HEADER = 40
EVENTS, STACKS = 4, 5


def seconds(command):
    """CPU seconds (what other processes do to the clock on the wall does not count) and wall seconds."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {child.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("machine")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        krec = os.path.join(folder, "bench.krec")
        exe = options.machine
        subjects = {
            "not recording": [exe, "run"],
            "recording": [exe, "record", "-o", krec],
            "not recording, 10 probes": [exe, "run", "--probes", "10"],
            "not recording, 1,000 probes": [exe, "run", "--probes", "1000"],
        }
        times = {name: [] for name in subjects}
        for round_number in range(options.rounds + 1):
            for name, command in subjects.items():
                took = seconds(command)
                if round_number > 0:
                    times[name].append(took)

        print(f"machine: {machine_name()}")
        print(f"scenario: affinity on 2 CPUs, boot to power-off; {options.rounds} rounds, CPU seconds")
        cpu = {name: [took[0] for took in rounds] for name, rounds in times.items()}
        base = median(cpu["not recording"])
        for name, took in cpu.items():
            print(
                f"{name:<30} {median(took):7.3f} s ({min(took):.3f} to {max(took):.3f})"
                f"  {median(took) / base:5.2f} x not recording"
            )
        wall = median(took[1] for took in times["recording"])
        print(f"recording takes {wall:.2f} s on the wall, from start to a complete file")
        events = [(rows, size) for kind, rows, size in frames(krec) if kind == EVENTS]
        stacks = sum(size for kind, _, size in frames(krec) if kind == STACKS)
        count = sum(rows for rows, _ in events)
        size = sum(size for _, size in events)
        print(f"events: {count}, {size / count:.2f} bytes each without stacks, stacks {stacks} bytes in all")
        ratio = median(cpu["recording"]) / base
        print(f"recording costs {100 * (ratio - 1):.1f} % over not recording (aim: at most 15 %)")


if __name__ == "__main__":
    main()
