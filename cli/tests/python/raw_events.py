"""The raw event tables of an export, in the order of their numbers, with causal time computed here.

Shared by the scripts that recompute reports from outside. It follows docs/definitions.md section 1 and
nothing of the Rust code; the exported `time_ns` is only compared with.
"""

import os
from collections import namedtuple

import pyarrow.parquet as parquet

# Tables of an export that are reports or names, and not events.
NOT_EVENTS = {"moves", "stopper_works", "tasks", "stacks"}

Event = namedtuple("Event", "seq kind cpu time_ns insns pid comm stack row")


def load(folder):
    """Every event, in order; `row` has the fields."""
    events = []
    for file in sorted(os.listdir(folder)):
        kind = file.removesuffix(".parquet")
        if not file.endswith(".parquet") or kind in NOT_EVENTS:
            continue
        table = parquet.read_table(os.path.join(folder, file))
        if not {"seq", "cycles", "time_ns"} <= set(table.column_names):
            continue
        events.extend((row["seq"], kind, row) for row in table.to_pylist())
    events.sort(key=lambda event: event[0])
    assert [event[0] for event in events] == list(range(len(events))), "the numbers are dense"
    times = causal(events)
    return [
        Event(seq, kind, row["cpu"], times[seq], row["insns"], row["pid"], row["comm"], row["stack"], row)
        for seq, kind, row in events
    ]


def request(row):
    """What a stop:* event is about: works of one pending, of one done, or a work of its own."""
    for field in ("pending", "done", "work"):
        if row.get(field):
            return (field, row[field])
    return None


def about(kind, row):
    """What an event is about, None for one that inherits it."""
    def task(pid):
        return ("task", pid) if pid else ("idle", row["cpu"])

    if kind.startswith("ipi_send"):
        return None
    if kind == "sched_switch":
        return [task(row["prev_pid"]), task(row["next_pid"])]
    if kind == "sched_process_fork":
        return [task(row["parent_pid"]), task(row["child_pid"])]
    if kind == "stop_work_queue":
        return [request(row)] + ([task(row["task_pid"])] if row["task"] else [])
    if kind in ("stop_work_start", "stop_work_done", "stop_complete"):
        return [request(row)]
    if kind.startswith(("sched_", "move_")) and "task_pid" in row:
        return [task(row["task_pid"])]
    return []


def causal(events):
    """Section 1: T(e) = max(c(e), T(previous of its CPU) + 1, T(previous about the same) + 1); the enter of
    a state of stop_machine also comes after every acknowledgement of the state before."""
    times, of_cpu, of_thing, acks, inherited = [], {}, {}, {}, {}
    for seq, kind, row in events:
        cpu = row["cpu"]
        things = about(kind, row)
        if things is None:
            things = inherited.get(cpu, [])
        inherited[cpu] = things
        before = [of_cpu.get(cpu, -1)] + [of_thing.get(thing, -1) for thing in things]
        if kind == "stop_machine_state" and row["step"] == 0:
            before.append(acks.get((row["msdata"], row["state"] - 1), -1))
        time = max([row["cycles"]] + [t + 1 for t in before])
        of_cpu[cpu] = time
        for thing in things:
            of_thing[thing] = time
        if kind == "stop_machine_state" and row["step"] == 1:
            key = (row["msdata"], row["state"])
            acks[key] = max(acks.get(key, -1), time)
        assert time == row["time_ns"], f"event @{seq} {kind}: causal time {time} here, {row['time_ns']} exported"
        times.append(time)
    return times


def stacks(folder):
    """The functions of every call stack, innermost first, inlined ones included."""
    rows = parquet.read_table(os.path.join(folder, "stacks.parquet")).to_pylist()
    found = {}
    for row in sorted(rows, key=lambda row: (row["stack"], row["depth"])):
        names = row["inlined"].split(" <- ") if row["inlined"] else []
        found.setdefault(row["stack"], []).extend(names + [row["function"]])
    return found


def works(events):
    """Every work as a dict with its queue, start and done events: a stopper runs them in queue order."""
    found, waiting, running = [], {}, {}
    for event in events:
        if event.kind == "stop_work_queue":
            work = {"queue": event, "start": None, "done": None, "cpu": event.row["target_cpu"]}
            found.append(work)
            waiting.setdefault(work["cpu"], []).append(work)
        elif event.kind == "stop_work_start":
            work = waiting[event.row["target_cpu"]].pop(0)
            assert work["queue"].row["work"] == event.row["work"], f"@{event.seq} starts another work"
            work["start"] = event
            running[event.cpu] = work
        elif event.kind == "stop_work_done":
            running.pop(event.cpu)["done"] = event
    return found


def function(name):
    """`stop_machine+0x1c` is in `stop_machine`."""
    return name.split("+")[0] if name else name


class Differences:
    """Collects what differs, and fails with the first of them."""

    def __init__(self, what):
        self.what, self.found, self.compared = what, [], 0

    def compare(self, where, column, here, told):
        self.compared += 1
        if here != told:
            self.found.append(f"{where} {column}: {here} here, {told} in the report")

    def finish(self):
        for line in self.found[:40]:
            print(line)
        assert not self.found, f"{self.what}: {len(self.found)} of {self.compared} values differ"
        print(f"{self.what}: {self.compared} values are equal")
