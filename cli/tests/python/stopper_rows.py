"""Recomputes every row of `analyze stopper` and the cause of every move from the raw events.

usage: stopper_rows.py FOLDER STOPPER_JSON MIGRATION_JSON

It follows docs/definitions.md sections 2 and 4 alone: a witness from outside. Every column of every work is
compared, and every difference is an error.
"""

import bisect
import json
import sys

from raw_events import Differences, function, load, request, stacks, works

RUNNABLE = (0, 0x100)


def stopper_of(comm):
    digits = comm.removeprefix("migration/")
    return int(digits) if comm.startswith("migration/") and digits.isdigit() else None


class Tasks:
    """What every task did when: running, waiting (runnable and not running) or asleep, in causal time."""

    def __init__(self, events):
        self.changes = {}
        for e in events:
            if e.kind == "sched_switch":
                if e.row["prev_pid"]:
                    self.put(e, e.row["prev_pid"], "waiting" if e.row["prev_state"] in RUNNABLE else "asleep")
                if e.row["next_pid"]:
                    self.put(e, e.row["next_pid"], "running")
            elif e.kind == "sched_wakeup_new":
                self.put(e, e.row["task_pid"], "waiting")
            elif e.kind == "sched_wakeup" and self.now(e.row["task_pid"]) == "asleep":
                self.put(e, e.row["task_pid"], "waiting")

    def put(self, event, pid, state):
        self.changes.setdefault(pid, []).append((event.time_ns, event.seq, state))

    def now(self, pid):
        return self.changes[pid][-1][2] if pid in self.changes else None

    def before(self, pid, seq):
        """Its state as of an event, which is not counted itself."""
        state = None
        for _, at, new in self.changes.get(pid, []):
            if at >= seq:
                break
            state = new
        return state

    def time_in(self, pid, state, begin, end):
        """Nanoseconds of [begin, end) that it spent in a state."""
        changes = self.changes.get(pid, [])
        total = 0
        for (since, _, what), until in zip(changes, [c[0] for c in changes[1:]] + [float("inf")]):
            if what == state:
                total += max(0, min(end, until) - max(begin, since))
        return total

    def next_run(self, pid, seq):
        """The event that switches it in after an event."""
        for _, at, state in self.changes.get(pid, []):
            if at > seq and state == "running":
                return at
        return None


def episodes(events):
    """Each stretch of a stopper on a CPU."""
    found, on = [], {}
    for e in events:
        if e.kind != "sched_switch":
            continue
        prev, next_ = stopper_of(e.row["prev_comm"]), stopper_of(e.row["next_comm"])
        if prev is not None and prev in on:
            on[prev]["out"] = e
            del on[prev]
        if next_ is not None:
            on[next_] = {"stopper": next_, "in": e, "out": None}
            found.append(on[next_])
    return found


def shares(all_works, events):
    """Share of each work: its episode divided at the works' dones; the last one takes the tail."""
    last = events[-1]
    end_ns = max(e.time_ns for e in events)
    by_work = {}
    started = [w for w in all_works if w["start"]]
    for episode in episodes(events):
        out = episode["out"]
        own = [w for w in started if w["cpu"] == episode["stopper"] and episode["in"].seq < w["start"].seq
               and (out is None or w["start"].seq < out.seq)]
        at = episode["in"]
        for place, work in enumerate(own):
            end = work["done"]
            if place + 1 == len(own):
                end = out
            by_work[work["queue"].seq] = (episode, at, end)
            at = work["done"]
    return by_work, end_ns, last


def outcome(work, events, tasks, names):
    """Section 2, read at the done."""
    start, done = work["start"], work["done"]
    pid, pending = done.row["task_pid"], done.row["pending"]
    if not done.row["task"]:
        return None
    inside = [e for e in events[start.seq + 1 : done.seq] if e.cpu == done.cpu]
    for e in inside:
        if e.kind == "sched_migrate_task" and e.row["task_pid"] == pid and e.row["orig_cpu"] != e.row["dest_cpu"]:
            # The work's own deed: the stack leads to its function and not through a wake-up.
            functions = names[e.stack]
            if function(done.row["fn"]) in functions and "try_to_wake_up" not in functions:
                return "moved"
    for e in inside:
        if e.kind == "stop_work_queue" and request(e.row) == request(done.row):
            return "requeued"
    completed = any(e.kind == "stop_complete" and pending and e.row["pending"] == pending for e in inside)
    if done.row["task_on_rq"] == 0 or tasks.before(pid, start.seq) == "asleep":
        return "sleeping"
    allowed = done.row["task_cpus_mask"] >> done.row["task_cpu"] & 1 == 1
    if allowed or (pending and not completed):
        return "already-ok"
    return "raced"


def in_interrupt_at(events, event):
    """Whether the CPU of an event is in a handler then."""
    for e in reversed(events[: event.seq]):
        if e.cpu == event.cpu and e.kind.endswith(("_entry", "_exit")) and e.kind not in ("move_affinity_entry", "sched_process_exit"):
            return e.kind.endswith("_entry")
    return False


def waiters(all_works, events, tasks, names):
    """For each request the work that carries the waiter's time, the event it counts from and the one at
    which the waiter goes on."""
    found = {}
    open_, asked = {}, {}
    running = {}
    by_queue = {w["queue"].seq: w for w in all_works}
    by_start = {w["start"].seq: w for w in all_works if w["start"]}

    def goes_on(pid, event):
        if pid is None:
            return None
        if tasks.before(pid, event.seq) == "running":
            return event.seq
        return tasks.next_run(pid, event.seq)

    for e in events:
        if e.kind == "move_affinity_entry":
            asked[e.pid] = (e.row["task_pid"], e.seq)
        elif e.kind == "stop_work_queue":
            key = request(e.row)
            if key not in open_:
                itself = key[0] == "pending" and "migrate_enable" in names[e.stack]
                waiter = None if key[0] == "work" or itself else e.pid
                asker = None
                if itself:
                    of = [(seq, pid) for pid, (about, seq) in asked.items() if about == e.row["task_pid"]]
                    asker = max(of)[1] if of else None
                open_[key] = {"waiter": waiter, "asker": asker, "left": 0, "released": False}
            open_[key]["last"] = by_queue[e.seq]
            open_[key]["left"] += 1
        elif e.kind == "stop_work_start":
            running[e.cpu] = by_start[e.seq]
        elif e.kind in ("stop_work_done", "stop_complete"):
            key = request(e.row)
            current = running.get(e.cpu)
            mine = current is not None and request(current["queue"].row) == key
            if e.kind == "stop_work_done":
                running.pop(e.cpu)
            one = open_.get(key)
            if one is None:
                continue
            release = e.kind == "stop_complete" or e.row["nr_todo"] == 0
            if release and not one["released"]:
                one["released"] = True
                work = current if mine else one["last"]
                pid = one["waiter"]
                if pid is None and one["asker"] is not None and tasks.before(one["asker"], e.seq) != "asleep":
                    pid = one["asker"]
                if key[0] == "pending":
                    # The first task that the completion wakes, if it asked for a change of this task.
                    for later in events[e.seq + 1 :]:
                        if later.cpu != e.cpu or in_interrupt_at(events, later):
                            continue
                        if later.kind.endswith("_entry") and later.kind != "move_affinity_entry":
                            continue
                        if later.kind.endswith("_exit") and later.kind != "sched_process_exit":
                            continue
                        woken = later.row.get("task_pid") if later.kind == "sched_waking" else None
                        if woken is not None and woken in asked and asked[woken][0] == e.row["task_pid"]:
                            # Whoever is asked later than this event does not count.
                            pid = woken
                        break
                until = goes_on(pid, e)
                if until is not None:
                    found[work["queue"].seq] = (key[0], e, events[until])
            if e.kind == "stop_complete" and key[0] == "pending":
                del open_[key]
            elif e.kind == "stop_work_done":
                one["left"] -= 1
                if one["left"] == 0 and key[0] != "pending":
                    del open_[key]
    return found


def rows(events, report, names):
    differ = Differences("stopper rows")
    tasks = Tasks(events)
    all_works = works(events)
    told = report["stopper_works"]
    differ.compare("report", "works", len(all_works), len(told))
    by_work, end_ns, last = shares(all_works, events)
    wakings = {}
    for e in events:
        if e.kind == "sched_waking" and stopper_of(e.row["task_comm"]) is not None:
            wakings.setdefault(stopper_of(e.row["task_comm"]), []).append(e)
    waited = waiters(all_works, events, tasks, names)
    for work, row in zip(all_works, told):
        queue, start, done = work["queue"], work["start"], work["done"]
        compare = lambda column, here: differ.compare(f"work @{queue.seq}", column, here, row[column])
        compare("work_queue_seq", queue.seq)
        compare("time_ns", queue.time_ns)
        compare("cpu", work["cpu"])
        compare("queued_by_comm", queue.comm)
        compare("queued_by_tid", queue.pid)
        compare("queued_by_cpu", queue.cpu)
        compare("caller", function(queue.row["caller"]))
        compare("fn", function(queue.row["fn"]))
        compare("task_tid", queue.row["task_pid"] if queue.row["task"] else None)
        compare("task_comm", queue.row["task_comm"] if queue.row["task"] else None)
        compare("work_start_seq", start and start.seq)
        compare("work_done_seq", done and done.seq)
        # The stopper's wake-up: the first after the queueing and not after the start.
        limit = start.seq if start else last.seq + 1
        woken = [e for e in wakings.get(work["cpu"], []) if queue.seq < e.seq < limit]
        waking = woken[0] if woken else None
        if waking and start and not queue.time_ns <= waking.time_ns <= start.time_ns:
            waking = None
        compare("stopper_waking_seq", waking and waking.seq)
        compare("queue_to_wake_ns", waking.time_ns - queue.time_ns if waking else 0 if start else None)
        compare("wake_to_run_ns", start.time_ns - (waking or queue).time_ns if start else None)
        compare("run_ns", done.time_ns - start.time_ns if done else None)
        if queue.seq in by_work:
            episode, begin, end = by_work[queue.seq]
            until = end.time_ns if end else end_ns
            compare("share_ns", until - begin.time_ns)
            compare("share_begin_seq", begin.seq)
            compare("share_end_seq", end.seq if end else last.seq)
            if end:
                compare("share_insns", end.insns - begin.insns)
            switch = episode["in"].row
            victim = switch["prev_pid"] if switch["prev_pid"] and switch["prev_state"] in RUNNABLE else None
            compare("victim_tid", victim)
            compare("victim_comm", switch["prev_comm"] if victim else None)
            compare("victim_prio", switch["prev_prio"] if victim else None)
            prio = switch["prev_prio"]
            klass = "fair" if prio >= 100 else "rt" if prio > 0 else "dl" if prio < 0 else None
            if klass:
                compare("victim_class", klass if victim else None)
            lost = tasks.time_in(victim, "waiting", begin.time_ns, until) if victim else None
            compare("victim_lost_ns", lost)
            compare("victim_elsewhere_ns", until - begin.time_ns - lost if victim else None)
        else:
            for column in ("share_ns", "victim_tid", "victim_lost_ns"):
                compare(column, None)
        compare("outcome", outcome(work, events, tasks, names) if done else None)
        kind, since, until = waited.get(queue.seq, (None, None, None))
        ns = max(0, until.time_ns - since.time_ns) if until else None
        compare("done_to_waiter_ns", ns if kind == "done" else None)
        compare("pending_to_waiter_ns", ns if kind == "pending" else None)
        compare("released_seq", since and since.seq)
        compare("waiter_in_seq", until and until.seq)
    differ.finish()


# From the innermost function outwards, the first that is named here says why a task was moved.
CAUSES = {
    "migrate_enable": "migrate-enable",
    "sched_exec": "exec",
    "active_load_balance_cpu_stop": "balance-active",
    "push_cpu_stop": "rt-push",
    "migrate_swap_stop": "numa-swap",
    "migrate_swap": "numa-swap",
    "__balance_push_cpu_stop": "hotplug",
    "push_rt_task": "rt-push",
    "pull_rt_task": "rt-pull",
    "push_dl_task": "dl-push",
    "pull_dl_task": "dl-pull",
    "newidle_balance": "balance-newidle",
    "_nohz_idle_balance": "balance-nohz",
    "rebalance_domains": "balance-periodic",
    "wake_up_new_task": "fork",
    "try_to_wake_up": "wake",
    "__set_cpus_allowed_ptr": "affinity",
}


def causes(events, report, names):
    """Why each move came about: the stack of the move, or for a stopper's the stack of who queued the
    work; and the two exceptions of section 2."""
    differ = Differences("causes of moves")
    told = {row["migrate_seq"]: row for row in report["moves"] if row["kind"] == "move"}
    queued, masks, counts = {}, {}, {}
    by_start = {w["start"].seq: w for w in works(events) if w["start"]}
    running, fallback, first = {}, {}, {}
    for e in events:
        if e.kind == "stop_work_queue":
            # The first work of a request; a pending that is completed is another one the next time.
            first.setdefault(request(e.row), e)
        elif e.kind == "stop_complete":
            first.pop(("pending", e.row["pending"]), None)
        elif e.kind == "stop_work_start":
            running[e.cpu] = by_start[e.seq]
        elif e.kind == "stop_work_done":
            running.pop(e.cpu, None)
            if e.row["task_pid"]:
                masks[e.row["task_pid"]] = e.row["task_cpus_mask"]
        elif e.kind == "move_affinity_entry":
            masks[e.row["task_pid"]] = e.row["new_mask"]
        elif e.kind == "sched_waking":
            fallback.pop(e.row["task_pid"], None)
        elif e.kind == "move_fallback":
            # No CPU of the mask could be used, for this wake-up.
            fallback[e.row["task_pid"]] = True
        elif e.kind == "sched_migrate_task" and e.row["orig_cpu"] != e.row["dest_cpu"]:
            pid = e.row["task_pid"]
            stack = names[e.stack]
            row = told[e.seq]
            if row["path"] == "stopper":
                queue = running[e.cpu]["queue"]
                begin = first.get(request(queue.row), queue) if queue.row["pending"] else queue
                stack = names[begin.stack]
            inner = next((at for at, name in enumerate(stack) if name in CAUSES), None)
            cause = None if inner is None else CAUSES[stack[inner]]
            # Two functions serve several callers.
            for name, outer in (("__set_cpus_allowed_ptr", "migrate_enable"), ("rebalance_domains", "_nohz_idle_balance")):
                if inner is not None and stack[inner] == name and outer in stack[inner:]:
                    cause = CAUSES[outer]
            if cause == "wake":
                allowed = pid not in masks or masks[pid] >> e.row["orig_cpu"] & 1 == 1
                if not allowed:
                    cause = "affinity"
                elif fallback.get(pid):
                    cause = "fallback"
            counts[cause] = counts.get(cause, 0) + 1
            differ.compare(f"move @{e.seq} of {pid}", "cause", cause, row["cause"])
    print("causes:", ", ".join(f"{cause} {count}" for cause, count in sorted(counts.items(), key=str)))
    differ.finish()


def main():
    folder, stopper, migration = sys.argv[1:]
    events, names = load(folder), stacks(folder)
    failed = []
    for check, path in ((rows, stopper), (causes, migration)):
        with open(path) as file:
            report = json.load(file)
        try:
            check(events, report, names)
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, "; ".join(failed)


if __name__ == "__main__":
    main()
