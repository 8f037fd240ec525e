"""Compares our latency, timehist and map with what perf itself prints for the same events, line by line.

usage: perf_sched.py KREPLAY PERF TABLES RECORDING PERF_DATA

TABLES is the Parquet export of RECORDING; PERF_DATA is written from it (perf_data.py). Every line that perf
prints must be the line that we print, but for what follows, which is undone here and nothing else:
- ours carries the event and the CPU of a maximum behind perf's columns, and lines with `#`;
- perf 6.1 draws one CPU too many with -V, has the state letters of older kernels, and begins no sch delay
  at a preemption (newer ones do);
- perf shows tasks that have ended under a heading of their own.
"""

import os
import re
import subprocess
import sys

import perf_data


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PERF_PAGER": "cat", "PAGER": "cat"})
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr}"
    return done.stdout.splitlines()


class Both:
    def __init__(self, kreplay, perf, recording, data):
        self.kreplay, self.perf, self.recording, self.data = kreplay, perf, recording, data
        self.lines = 0

    def ours(self, report, *arguments):
        lines = run(self.kreplay, "analyze", report, *arguments, self.recording)
        return [line.rstrip() for line in lines if line and not line.startswith("#")]

    def theirs(self, report, *arguments):
        lines = run(self.perf, "sched", "-f", "-i", self.data, report, *arguments)
        return [line.rstrip() for line in lines if line.strip() and not line.startswith("Samples do not")]

    def same(self, what, ours, theirs, least):
        for number, (a, b) in enumerate(zip(ours, theirs)):
            assert a == b, f"{what}, line {number}:\n  ours   {a}\n  perf's {b}"
        assert len(ours) == len(theirs), f"{what}: {len(ours)} lines, perf has {len(theirs)}"
        assert len(ours) >= least, f"{what}: only {len(ours)} lines"
        self.lines += len(ours)


def latency(both, *arguments):
    ours = [line.split(" | @")[0] for line in both.ours("latency", "--table", "latency", *arguments)]
    ours = [re.sub(r" Max at event, CPU$", "", line) for line in ours]
    footers = [line for line in ours if line.startswith("  INFO:")]
    assert len(footers) == 3 and all("0.000%" in line and "(0 out of" in line for line in footers), footers
    # perf prints these three only when something is wrong.
    ours = [line for line in ours if line not in footers]
    theirs = [line.replace("| Switches |", "|  Count   |") for line in both.theirs("latency", *arguments)]
    both.same(f"latency {arguments}", ours, theirs, 20)


STATES = {"R": "R", "S": "S", "D": "D", "T": "T", "t": "t", "Z": "X", "X": "Z", "x": "P", "K": "I", "I": "R"}


def timehist(both, *arguments):
    cpus, state = both.cpus, "--state" in arguments
    visual = any(a.startswith("-") and "V" in a for a in arguments)
    ours = both.ours("timehist", *arguments)
    theirs = both.theirs("timehist", *arguments)
    fixed = []
    for number, line in enumerate(theirs):
        if visual:
            # Columns: time, CPU, a space, one letter a CPU; migrations are set two further, as ours are.
            extra = 25 + cpus if "migrated: " in line else 24 + cpus
            assert line[extra : extra + 1] in (" ", "-", f"{cpus:x}"), line
            line = line[:extra] + line[extra + 1 :]
        fixed.append(line.rstrip())
    ours_fixed = []
    shift = 1 + cpus + 1 if visual else 0
    for number, line in enumerate(ours):
        begin = 23 + shift + 32  # The three durations, 11 characters each, as perf begins to print them.
        wait, delay = line[begin : begin + 10].strip(), line[begin + 11 : begin + 21].strip()
        is_row = number >= 3 and re.fullmatch(r"\d+\.\d{3}", delay) is not None
        shown = fixed[number][begin + 11 : begin + 21]
        if is_row and delay != shown.strip():
            # A task that was preempted: all its wait is delay. perf 6.1 shows none of it, or what is left
            # of it after somebody woke the task up once more.
            assert "<idle>" not in line, line
            assert wait == delay and float(shown) < float(delay), f"{line}\n{fixed[number]}"
            line = line[: begin + 11] + shown + line[begin + 21 :]
            both.preempted += 1
        if is_row and state:
            at = begin + 33 + 5
            theirs_letter = fixed[number][at]
            idle = "<idle>" in line
            assert STATES[theirs_letter] == line[at] or idle, f"{line}\n{fixed[number]}"
            line = line[:at] + theirs_letter + line[at + 1 :]
        ours_fixed.append(line.rstrip())
    both.same(f"timehist {arguments}", ours_fixed, fixed, 1000)


def summary(both, *arguments):
    ours = both.ours("timehist", *arguments)
    theirs = both.theirs("timehist", *arguments)
    headings = r"(Runtime|Wait-time|Idle-time) summary|Terminated tasks:|<no .* tasks>|Idle stats:"
    theirs = [line for line in theirs if not re.fullmatch(headings, line)]
    if "--state" in arguments:
        # The last column is a sum of sch delays; ours has those of preemptions.
        task = re.compile(r"^ *\S+\[\d+\] ")
        cut = lambda lines: [line.rsplit(None, 1)[0] if task.match(line) else line for line in lines]
        ours, theirs = cut(ours), cut(theirs)
    # perf lists tasks that have ended after the others.
    rows = lambda lines: sorted(line for line in lines if re.match(r"^ +\S+\[\d+\] ", line))
    rest = lambda lines: [line for line in lines if not re.match(r"^ +\S+\[\d+\] ", line)]
    both.same(f"timehist {arguments}: tasks", rows(ours), rows(theirs), 15)
    both.same(f"timehist {arguments}: the rest", rest(ours), rest(theirs), 5)


def sched_map(both, *arguments):
    """perf 6.1 draws as many CPUs as its host has, and else as many as the highest number it has seen: what it
    does not draw is cut from ours. With --compact it draws each CPU that has switched."""
    ours, theirs = both.ours("map", *arguments), both.theirs("map", *arguments)
    at = [line.index(" secs") - 14 for line in theirs]
    # Two spaces and the columns; then two spaces, 12 characters of time, and the rest.
    ends = [line.index(" secs") - 14 for line in ours]
    cut = [line[: min(a, e)].rstrip() + line[e:] for line, a, e in zip(ours, at, ends)]
    shown = [line[:a].rstrip() + line[a:] for line, a in zip(theirs, at)]
    assert "--compact" not in arguments or at == ends
    both.same(f"map {arguments}", cut, shown, 1000)


def main():
    kreplay, perf, tables, recording, data = sys.argv[1:]
    perf_data.write(tables, data)
    both = Both(kreplay, perf, recording, data)
    both.cpus = perf_data.cpus(tables)
    both.preempted = 0
    for arguments in [(), ("-p",), ("-s", "runtime"), ("-p", "-s", "pid"), ("-s", "max,switch")]:
        latency(both, *arguments)
    timehist(both)
    timehist(both, "-MVw")
    timehist(both, "-MVw", "-n", "--state")
    assert both.preempted > 1000, both.preempted
    summary(both, "-M", "-s")
    summary(both, "-M", "-s", "--state")
    summary(both, "-M", "-s", "-I")
    sched_map(both)
    # perf 6.1 has room for as many columns as its host has CPUs here, and writes past it (it crashed with 8 on 2).
    if both.cpus <= (os.cpu_count() or 1):
        sched_map(both, "--compact")
    version = run(perf, "--version")[0]
    print(f"{version}: {both.lines} lines are the same, {both.preempted} delays of preempted tasks are ours alone")


if __name__ == "__main__":
    main()
