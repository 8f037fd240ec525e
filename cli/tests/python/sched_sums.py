"""Recomputes delays, run times, waits and class times from the exported events alone, and compares.

usage: sched_sums.py TABLES LATENCY_JSON TIMEHIST_JSON RUNQLAT_JSON CLASSES_JSON

TABLES is what `kreplay export parquet` wrote, the others what `kreplay analyze ... --format json` printed
(timehist with -MwS). Nothing is shared with the Rust code: each task's events are sorted and searched, where
the reports follow state machines. All numbers must be equal to the nanosecond.
"""

import bisect
import json
import sys
from collections import defaultdict
from pathlib import Path

import polars as pl


def read(folder, name):
    return list(pl.read_parquet(Path(folder) / f"{name}.parquet").sort("seq").iter_rows(named=True))


def runnable(state):
    return state == 0 or bool(state & 0x100)


class Task:
    """What happened to one task: lists of (number, time, ...), sorted by number."""

    def __init__(self):
        self.outs, self.ins, self.wakeups, self.wakings, self.moves = [], [], [], [], []


def last_before(events, seq):
    at = bisect.bisect_left(events, (seq,))
    return events[at - 1] if at else None


def first_between(events, after, before):
    at = bisect.bisect_right(events, (after, float("inf")))
    return events[at] if at < len(events) and events[at][0] < before else None


def gather(folder):
    tasks = defaultdict(Task)
    for row in read(folder, "sched_switch"):
        stamp = (row["seq"], row["time_ns"])
        tasks[row["prev_pid"]].outs.append((*stamp, row["cpu"], row["prev_state"]))
        tasks[row["next_pid"]].ins.append((*stamp, row["cpu"], row["next_prio"], row["next_comm"]))
    for row in read(folder, "sched_wakeup_new"):
        tasks[row["task_pid"]].wakeups.append((row["seq"], row["time_ns"]))
        tasks[row["task_pid"]].wakings.append((row["seq"], row["time_ns"]))
    for name, attribute in (("sched_wakeup", "wakeups"), ("sched_waking", "wakings")):
        for row in read(folder, name):
            getattr(tasks[row["task_pid"]], attribute).append((row["seq"], row["time_ns"]))
    for row in read(folder, "sched_migrate_task"):
        tasks[row["task_pid"]].moves.append((row["seq"], row["time_ns"]))
    for task in tasks.values():
        task.wakeups.sort()
        task.wakings.sort()
    return tasks


def delays(tasks):
    """Of each task: (delay, begin, end, event of the end, CPU), runnable to running."""
    found = {}
    for pid, task in tasks.items():
        rows = []
        for seq, time, cpu, *_ in task.ins if pid else []:
            out = last_before(task.outs, seq)
            if out and runnable(out[3]):
                begin = out[1]
            else:
                woken = first_between(task.wakeups, out[0] if out else -1, seq)
                if woken is None:
                    continue
                begin = woken[1]
            rows.append((time - begin, begin, time, seq, cpu))
        found[pid] = rows
    return found


def equal(what, ours, report):
    assert ours == report, f"{what}: recomputed {ours}, reported {report}"


def check_latency(tasks, found, report):
    rows = {row["tid"]: row for row in report["latency"]}
    for pid, waits in found.items():
        if not waits:
            assert pid not in rows, pid
            continue
        row = rows.pop(pid)
        equal(f"count of {pid}", len(waits), row["count"])
        equal(f"total of {pid}", sum(w[0] for w in waits), row["total_delay_ns"])
        equal(f"average of {pid}", sum(w[0] for w in waits) // len(waits), row["avg_delay_ns"])
        worst = max(waits, key=lambda w: (w[0], -w[3]))
        shown = [row[f"max_delay_{key}"] for key in ("ns", "start_ns", "end_ns", "end_seq", "cpu")]
        equal(f"maximum of {pid}", list(worst), shown)
        equal(f"run time of {pid}", runs(tasks[pid]), row["runtime_ns"])
    assert not rows, rows
    return sum(len(waits) for waits in found.values())


def runs(task):
    """Time from each switch-in to the switch-out after it."""
    total = 0
    for seq, time, *_ in task.outs:
        came = last_before(task.ins, seq)
        total += time - came[1] if came else 0
    return total


def check_runqlat(found, report):
    values = [wait[0] for waits in found.values() for wait in waits]
    for row in report["runqlat"]:
        inside = sum(row["low"] <= value // 1000 <= row["high"] for value in values)
        equal(f"bucket {row['low']}", inside, row["count"])
    equal("delays", len(values), sum(row["count"] for row in report["runqlat"]))
    equal("sum of delays", sum(values), report["delays"][0]["total_ns"])
    ordered = sorted(values)
    for percent in (50, 90, 99):
        rank = -(-len(ordered) * percent // 100)
        equal(f"p{percent}", ordered[rank - 1], report["delays"][0][f"p{percent}_ns"])


def check_timehist(tasks, report):
    """Every row of a task: when it left, how long it had waited, was runnable, ran."""
    shown = defaultdict(list)
    for row in report["timehist"]:
        if row["kind"] == "switch" and row["tid"]:
            shown[row["tid"]].append(row)
    count = 0
    for pid, task in tasks.items():
        if not pid:
            continue
        equal(f"rows of {pid}", len(task.outs), len(shown[pid]))
        for out, row in zip(task.outs, sorted(shown[pid], key=lambda row: row["seq"])):
            came = last_before(task.ins, out[0])
            left = last_before(task.outs, came[0]) if came else None
            wait = came[1] - left[1] if left else None
            if left and runnable(left[3]):
                delay = wait
            else:
                # The first waking after it left; one while it ran belongs to its next wait.
                woken = first_between(task.wakings, left[0] if left else -1, came[0]) if came else None
                delay = came[1] - woken[1] if woken else None
            seen = (row["seq"], row["time_ns"], row["wait_ns"], row["sch_delay_ns"], row["run_ns"])
            equal(f"row of {pid}", (out[0], out[1], wait, delay, out[1] - came[1] if came else None), seen)
            count += 1
        moves = [row for row in report["timehist"] if row["kind"] == "migrate" and row["other_tid"] == pid]
        equal(f"moves of {pid}", [move[0] for move in task.moves], sorted(row["seq"] for row in moves))
    for row in report["summary"]:
        task = tasks[row["tid"]]
        equal(f"summary of {row['tid']}", (len(task.outs), runs(task)), (row["count"], row["run_ns"]))
    return count


def check_classes(folder, report):
    """Time by class from the switches: priorities, and who is called a stopper."""
    last = {}
    sums = defaultdict(int)
    for row in read(folder, "sched_switch"):
        cpu, time = row["cpu"], row["time_ns"]
        if cpu in last:
            sums[cpu, last[cpu][1]] += time - last[cpu][0]
        else:
            sums[cpu, "first"] = time
        pid, prio, comm = row["next_pid"], row["next_prio"], row["next_comm"]
        kind = (
            "idle" if pid == 0
            else "dl" if prio < 0
            else "stop" if prio == 0 and comm.startswith("migration/")
            else "rt" if prio < 100
            else "fair"
        )  # fmt: skip
        last[cpu] = (time, kind)
    for row in report["classes"]:
        if row["cpu"] == "all":
            continue
        cpu = int(row["cpu"])
        time, kind = last[cpu]
        sums[cpu, kind] += row["wall_ns"] - time
        for kind in ("stop", "dl", "rt", "fair", "idle"):
            equal(f"{kind} of CPU {cpu}", sums[cpu, kind], row[f"{kind}_ns"])
        equal(f"start of CPU {cpu}", sums[cpu, "first"], row["boot_ns"] + row["before_ns"])
        parts = [row[f"{kind}_ns"] for kind in ("stop", "dl", "rt", "fair", "idle", "boot", "before")]
        equal(f"wall time of CPU {cpu}", sum(parts), row["wall_ns"])


def main():
    folder = sys.argv[1]
    latency, timehist, runqlat, classes = (json.load(open(path)) for path in sys.argv[2:6])
    tasks = gather(folder)
    found = delays(tasks)
    count = check_latency(tasks, found, latency)
    check_runqlat(found, runqlat)
    rows = check_timehist(tasks, timehist)
    check_classes(folder, classes)
    assert count > 1000 and rows > 1000, (count, rows)
    print(f"{count} delays and {rows} runs of {len(tasks)} tasks are equal to the nanosecond")


if __name__ == "__main__":
    main()
