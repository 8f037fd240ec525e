"""Recomputes `analyze stop-machine` and `analyze stopper --guarantee` from the raw events.

usage: stop_machine.py FOLDER STOP_MACHINE_JSON GUARANTEE_JSON LATENCY_NS STRETCH_NS

FOLDER is what `kreplay export parquet` wrote; the others are the reports as JSON, and of the recording the
latency of an interrupt between CPUs and the longest stretch between two legal stops.
"""

import json
import sys

from raw_events import Differences, function, load, request, works

STATES = ["PREPARE", "DISABLE_IRQ", "RUN", "EXIT"]
PARTS = ["ask", "ipi", "irqs_off", "idle", "preempt_off", "earlier_works", "stopper"]


def requests(events):
    """Works of multi_cpu_stop that share a cpu_stop_done, until its nr_todo is 0, and their steps."""
    found, by_done, running = [], {}, {}
    started = {}
    for work in works(events):
        if work["start"]:
            started[work["start"].seq] = work
    todo = {work["queue"].seq: work for work in works(events)}
    for event in events:
        if event.kind == "stop_work_queue" and function(event.row["fn"]) == "multi_cpu_stop":
            done = event.row["done"]
            if done not in by_done:
                by_done[done] = {"queue": event, "members": []}
                found.append(by_done[done])
            member = {"cpu": event.row["target_cpu"], "work": todo[event.seq], "steps": []}
            by_done[done]["members"].append(member)
        elif event.kind == "stop_work_start" and function(event.row["fn"]) == "multi_cpu_stop":
            queue = started[event.seq]["queue"]
            for one in found:
                for member in one["members"]:
                    if member["work"]["queue"].seq == queue.seq:
                        running[event.cpu] = member
        elif event.kind == "stop_machine_state":
            running[event.cpu]["steps"].append(event)
        elif event.kind == "stop_work_done" and event.cpu in running and function(event.row["fn"]) == "multi_cpu_stop":
            del running[event.cpu]
            if event.row["nr_todo"] == 0:
                del by_done[event.row["done"]]
    return found


def at(member, state, step):
    """The time of a step, None if it did not come."""
    times = [e.time_ns for e in member["steps"] if (e.row["state"], e.row["step"]) == (STATES.index(state) + 1, step)]
    return times[0] if times else None


def minus(a, b):
    return None if a is None or b is None else a - b


def stop_machine(events, report):
    differ = Differences("stop-machine")
    found = requests(events)
    differ.compare("report", "requests", len(found), len(report["stop_machine"]))
    members = {(row["request_seq"], row["cpu"]): row for row in report["participants"]}
    steps = {(row["request_seq"], row["cpu"], row["state"]): row for row in report["states"]}
    for one, row in zip(found, report["stop_machine"]):
        seq = one["queue"].seq
        compare = lambda column, here: differ.compare(f"request @{seq}", column, here, row[column])
        compare("work_queue_seq", seq)
        compare("participants", len(one["members"]))
        compare("queued_by_tid", one["queue"].pid)
        compare("caller", function(one["queue"].row["caller"]))
        compare("polls", sum(e.row["polls"] for m in one["members"] for e in m["steps"]))
        fns = {function(e.row["fn"]) for m in one["members"] for e in m["steps"]}
        compare("fn", fns.pop() if len(fns) == 1 else None)
        for state in STATES:
            enters = [at(m, state, 0) for m in one["members"]]
            skew = None if None in enters else max(enters) - min(enters)
            compare(state.lower() + "_skew_ns", skew)
        off = [minus(at(m, "EXIT", 1), at(m, "DISABLE_IRQ", 0)) for m in one["members"]]
        compare("irqs_off_ns_max", None if None in off else max(off))
        compare("irqs_off_ns_sum", None if None in off else sum(off))
        last = [m["work"]["done"] and m["work"]["done"].time_ns for m in one["members"]]
        compare("total_ns", None if None in last else max(last) - one["queue"].time_ns)
        for m, irqs_off in zip(one["members"], off):
            of = members[seq, m["cpu"]]
            compare = lambda column, here: differ.compare(f"request @{seq} cpu{m['cpu']}", column, here, of[column])
            compare("irqs_off_ns", irqs_off)
            compare("polls", sum(e.row["polls"] for e in m["steps"]))
            start, done = (m["work"][name] and m["work"][name].time_ns for name in ("start", "done"))
            compare("run_ns", minus(done, start))
            edges = [start] + [at(m, state, step) for state in STATES for step in (0, 1)] + [done]
            names = ["entry", "prepare", "prepare_wait", "disable_irq", "disable_irq_wait", "run_state", "run_wait", "exit", "return"]
            if None not in edges:
                for name, a, b in zip(names, edges, edges[1:]):
                    compare(name + "_ns", b - a)
            for state in STATES:
                if at(m, state, 0) is not None:
                    differ.compare(f"@{seq} cpu{m['cpu']} {state}", "enter", at(m, state, 0), steps[seq, m["cpu"], state]["enter_time_ns"])
                    differ.compare(f"@{seq} cpu{m['cpu']} {state}", "ack", at(m, state, 1), steps[seq, m["cpu"], state]["ack_time_ns"])
    differ.finish()


def vector(event):
    if event.kind == "ipi_send_cpumask":
        return "call_function"
    return "call_function_single" if event.row["callback"] else "reschedule"


def receivers(event):
    if event.kind == "ipi_send_cpu":
        return [event.row["target_cpu"]]
    mask = event.row["cpumask"]
    return [cpu for cpu in range(64) if mask >> cpu & 1]


def interrupts(events, latency):
    """Every interrupt sent between CPUs: sending, receiver, and the entry that took it."""
    sent, flying = [], {}
    for event in events:
        if event.kind.startswith("ipi_send"):
            for cpu in receivers(event):
                one = {"send": event, "cpu": cpu, "vector": vector(event), "entry": None}
                sent.append(one)
                flying.setdefault((cpu, one["vector"]), []).append(one)
        elif event.kind.endswith("_entry") and event.kind != "move_affinity_entry":
            key = (event.cpu, event.kind.removesuffix("_entry"))
            due = [one for one in flying.get(key, []) if one["send"].row["cycles"] + latency <= event.row["cycles"]]
            for one in due:
                one["entry"] = event
                flying[key].remove(one)
    return sent


def wait_parts(work, events, sent, flight, stretch, timeline):
    """Every nanosecond between two neighbouring instants gets the first part that matches."""
    begin, end, cpu = work["queue"], work["start"], work["cpu"]
    clamp = lambda time: min(max(time, begin.time_ns), end.time_ns)
    inside = [e for e in timeline[cpu] if begin.seq < e.seq < end.seq]
    before = [e for e in timeline[cpu] if e.seq < begin.seq]
    # (from, to) in (time, number), clamped; what began before lasts from the beginning.
    def spans(opens, closes):
        state, found, since = False, [], None
        for e in before:
            state = True if opens(e) else False if closes(e) else state
        if state:
            since = (begin.time_ns, begin.seq)
        for e in inside:
            if opens(e) and since is None:
                since = (clamp(e.time_ns), e.seq)
            elif closes(e) and since is not None:
                found.append((since, (clamp(e.time_ns), e.seq)))
                since = None
        if since is not None:
            found.append((since, (end.time_ns, end.seq)))
        return found

    is_entry = lambda e: e.kind.endswith("_entry") and e.kind != "move_affinity_entry" and e.cpu == cpu
    is_exit = lambda e: e.kind.endswith("_exit") and e.kind != "sched_process_exit" and e.cpu == cpu
    here = lambda e: e.kind == "sched_switch" and e.cpu == cpu
    me = f"migration/{cpu}"
    earlier = spans(lambda e: e.kind == "stop_work_start", lambda e: e.kind == "stop_work_done")
    on = spans(lambda e: here(e) and e.row["next_comm"] == me, lambda e: here(e) and e.row["next_comm"] != me)
    asleep = lambda e: e.kind == "sched_switch" and e.row["prev_comm"] == me and e.row["prev_state"] not in (0, 0x100)
    awake = spans(lambda e: e.kind == "sched_waking" and e.row["task_comm"] == me, asleep)
    handler = spans(is_entry, is_exit)
    idle = spans(lambda e: here(e) and e.row["next_pid"] == 0, lambda e: here(e) and e.row["next_pid"] != 0)
    if not any(here(e) for e in before):
        idle = spans(lambda e: False, lambda e: False) or [((begin.time_ns, begin.seq), (end.time_ns, end.seq))]

    flights, lates, sends = [], [], []
    for one in sent[cpu]:
        send, entry = one["send"], one["entry"]
        if send.seq > end.seq or (entry and entry.seq < begin.seq):
            continue
        if send.seq > begin.seq and one["for_stopper"]:
            sends.append((clamp(send.time_ns), send.seq))
        since = (clamp(send.time_ns), send.seq) if send.seq > begin.seq else (begin.time_ns, begin.seq)
        until = (clamp(entry.time_ns), entry.seq) if entry and entry.seq < end.seq else (end.time_ns, end.seq)
        raw_due = send.row["cycles"] + flight[one["vector"]]
        due = max(send.time_ns, raw_due)
        if entry and entry.seq < end.seq and entry.row["cycles"] <= raw_due + stretch:
            flights.append((since, until))
        else:
            flights.append((since, (clamp(due), send.seq)))
            lates.append(((clamp(due), send.seq), until))
    asking_until = min(sends) if sends else None

    edges = {(begin.time_ns, begin.seq), (end.time_ns, end.seq)}
    for pairs in (earlier, on, awake, handler, idle, flights, lates):
        for a, b in pairs:
            edges |= {a, b}
    edges |= set(sends)
    edges = sorted(edges)
    parts = dict.fromkeys(PARTS, 0)
    within = lambda pairs, a: any(x <= a < y for x, y in pairs)
    for a, b in zip(edges, edges[1:]):
        if within(earlier, a):
            part = "earlier_works"
        elif within(on, a):
            part = "stopper"
        elif not within(awake, a) or (asking_until and a < asking_until):
            part = "ask"
        elif within(flights, a):
            part = "ipi"
        elif within(handler, a) or within(lates, a):
            part = "irqs_off"
        elif within(idle, a):
            part = "idle"
        else:
            part = "preempt_off"
        parts[part] += b[0] - a[0]
    return parts


def guarantee(events, report, latency, stretch):
    differ = Differences("guarantee")
    all_works = [work for work in works(events) if work["start"]]
    wait = lambda work: work["start"].time_ns - work["queue"].time_ns
    longest = sorted(all_works, key=lambda work: (-wait(work), work["queue"].seq))[: len(report["guarantee"])]
    sent, pids = {}, {}
    previous = {}
    flying = interrupts(events, latency)
    by_send = {}
    for one in flying:
        by_send.setdefault(one["send"].seq, []).append(one)
        sent.setdefault(one["cpu"], []).append(one)
    flight = {}
    for one in flying:
        if one["entry"]:
            ns = max(one["entry"].row["cycles"] - one["send"].row["cycles"], 0)
            flight[one["vector"]] = min(ns, flight.get(one["vector"], ns))
    # An interrupt is for the stopper if the last thing its sender did before was about the stopper.
    cpus = {event.cpu for event in events}
    timeline = {cpu: [] for cpu in cpus}
    for event in events:
        if event.kind == "sched_waking" and event.row["task_comm"].startswith("migration/"):
            pids[event.row["task_pid"]] = int(event.row["task_comm"].split("/")[1])
        if event.kind.startswith("ipi_send"):
            for one in by_send[event.seq]:
                one["for_stopper"] = previous.get(event.cpu) == one["cpu"]
        elif event.kind.startswith(("sched_wak", "move_enq", "sched_mig")):
            previous[event.cpu] = pids.get(event.row["task_pid"])
        else:
            previous[event.cpu] = None
            if event.kind == "sched_switch":
                mine = [pids.get(event.row["prev_pid"]), pids.get(event.row["next_pid"])]
                previous[event.cpu] = next((cpu for cpu in mine if cpu is not None), None)
        timeline[event.cpu].append(event)
        # What other CPUs do to this CPU's stopper.
        comm = event.row.get("task_comm") if event.kind == "sched_waking" else None
        comm = event.row["prev_comm"] if event.kind == "sched_switch" else comm
        if comm and comm.startswith("migration/"):
            cpu = int(comm.split("/")[1])
            if cpu != event.cpu and cpu in timeline:
                timeline[cpu].append(event)
    for work, row in zip(longest, report["guarantee"]):
        where = f"rank {row['rank']} @{work['queue'].seq}"
        differ.compare(where, "work_queue_seq", work["queue"].seq, row["work_queue_seq"])
        differ.compare(where, "queue_to_start_ns", wait(work), row["queue_to_start_ns"])
        parts = wait_parts(work, events, sent, flight, stretch, timeline)
        assert sum(parts.values()) == wait(work), (where, parts)
        for part, ns in parts.items():
            differ.compare(where, part + "_ns", ns, row[part + "_ns"])
    sums = sum(wait(work) for work in all_works)
    differ.compare("all works", "sum", sums, sum(row["sum_ns"] for row in report["parts"]))
    differ.finish()


def main():
    folder, stop_machine_json, guarantee_json, latency, stretch = sys.argv[1:]
    events = load(folder)
    with open(stop_machine_json) as file:
        stop_machine(events, json.load(file))
    with open(guarantee_json) as file:
        guarantee(events, json.load(file), int(latency), int(stretch))


if __name__ == "__main__":
    main()
