"""Recomputes every move's begin, end and total by SQL over the exported events, and compares.

usage: migration_sql.py FOLDER REPORT_JSON

FOLDER is what `kreplay export parquet` wrote, REPORT_JSON what `kreplay analyze migration --format json`
printed. The queries read the raw event tables only (never an exported report), follow docs/definitions.md
section 2, and share nothing with the Rust code: a witness from outside. Compared are the begin, the end and
the total of every row, and the totals of every path, cause and pair of CPUs.
"""

import json
import os
import sys

import duckdb

# How a stack came to its innermost function: by a wake-up, by a balance or a class that pulls or pushes tasks, by a
# stopper that does so. What is nearer to the move decides.
WAYS = """
create table ways as
with named as (
  select stack, depth, function from stacks
  union all select stack, depth, trim(unnest(string_split(inlined, '<-'))) from stacks where inlined is not null
)
select stack,
  coalesce(min(depth) filter (function = 'try_to_wake_up'), 1000) as wake_depth,
  coalesce(min(depth) filter (function = 'active_load_balance_cpu_stop'), 1000) as active_depth,
  coalesce(min(depth) filter (function in ('detach_task', 'load_balance', 'push_rt_task', 'pull_rt_task',
    'push_dl_task', 'pull_dl_task')), 1000) as pull_depth
from named group by stack
"""

# One row for each sched_migrate_task between two CPUs, with what its CPU and its task did last before it:
# a stopper's work, a wake-up, an affinity change by whoever executed the move (several may ask for one task).
MOVES = """
create table moves as
with m as (
  select migrate.*, current_comm = 'migration/' || cpu as by_stopper,
    active_depth < wake_depth as active, pull_depth < wake_depth and active_depth = 1000 as pulled
  from migrate left join ways using (stack) where orig_cpu <> dest_cpu
),
w as (select m.*, waking.seq as waking_seq from m asof left join waking on m.pid = waking.pid and m.seq > waking.seq),
a as (select w.*, affinity.seq as affinity_seq from w asof left join affinity
      on w.pid = affinity.pid and w.current_pid = affinity.current_pid and w.seq > affinity.seq)
select a.seq as migrate_seq, a.pid, a.orig_cpu, a.dest_cpu,
  -- A stopper also wakes tasks up. What it moves by its work is the task that the work is about, if that
  -- task is not woken up meanwhile.
  case when active then 'stopper'
       when pulled then 'direct'
       when by_stopper and start.about = a.pid and coalesce(waking_seq, -1) < start.seq then 'stopper'
       when waking_seq is not null and waking_seq > coalesce(affinity_seq, -1) then 'wake'
       else 'direct' end as path,
  waking_seq, affinity_seq, pulled,
  start.seq as start_seq, start.work, start.pending, start.task
from a asof left join start on a.cpu = start.cpu and a.seq > start.seq
"""

# The first work of a pending: a pending's address is used again once it has been completed, so only
# works after its last completion before this work's start count.
BEGINS = """
create table begins as
with p as (
  select moves.*, complete.seq as completed_seq
  from moves asof left join complete on moves.pending = complete.pending and moves.start_seq > complete.seq
),
first as (
  select p.migrate_seq, min(queue.seq) as queue_seq
  from p join queue on p.pending = queue.pending and p.task = queue.task
  where p.path = 'stopper' and p.pending is not null
    and queue.seq < p.start_seq and queue.seq > coalesce(p.completed_seq, -1)
  group by p.migrate_seq
),
alone as (
  select p.migrate_seq, queue.seq as queue_seq
  from p asof join queue on p.work = queue.work and p.start_seq > queue.seq
  where p.path = 'stopper' and p.pending is null
)
select migrate_seq, case when pulled then migrate_seq when path = 'wake' then waking_seq when path = 'direct' then affinity_seq
    else coalesce(first.queue_seq, alone.queue_seq) end as begin_seq
from moves left join first using (migrate_seq) left join alone using (migrate_seq)
"""

# The task runs, is moved again, or exits; else the recording ends first.
ENDS = """
create table ends as
with r as (select moves.migrate_seq, moves.pid, switch.seq as ran
           from moves asof left join switch on moves.pid = switch.next_pid and moves.migrate_seq < switch.seq),
n as (select r.*, migrate.seq as moved
      from r asof left join (from migrate where orig_cpu <> dest_cpu) as migrate
        on r.pid = migrate.pid and r.migrate_seq < migrate.seq),
x as (select n.*, exits.seq as exited
      from n asof left join exits on n.pid = exits.pid and n.migrate_seq < exits.seq)
select migrate_seq, least(ran, moved, exited) as end_seq,
  case least(ran, moved, exited) when ran then 'ran' when moved then 'moved' when exited then 'exit'
    else 'open' end as ended
from x
"""

ROWS = """
select migrate_seq, path, orig_cpu, dest_cpu, begin_seq, end_seq, ended,
  e.time_ns - b.time_ns as total_ns
from moves join begins using (migrate_seq) join ends using (migrate_seq)
  left join times b on b.seq = begin_seq left join times e on e.seq = end_seq
order by migrate_seq
"""

# The name in the queries: the event's file, the columns. `pid`, `comm` and `cpu` are under whom and where it
# happened, `task_*` and the other fields what it says. Addresses are texts, null for 0.
TABLES = {
    "switch": ("sched_switch", "seq, next_pid"),
    "migrate": ("sched_migrate_task", "seq, cpu, pid as current_pid, comm as current_comm, task_pid as pid, orig_cpu, dest_cpu, stack"),
    "waking": ("sched_waking", "seq, task_pid as pid"),
    "affinity": ("move_affinity_entry", "seq, pid as current_pid, task_pid as pid"),
    "exits": ("sched_process_exit", "seq, task_pid as pid"),
    "queue": ("stop_work_queue", "seq, work, pending, task"),
    "start": ("stop_work_start", "seq, cpu, work, pending, task, task_pid as about"),
    "complete": ("stop_complete", "seq, pending"),
}


def load(db, folder):
    """Views under the short names; an event that never happened has an empty table all the same."""
    for name, (event, columns) in TABLES.items():
        path = os.path.join(folder, event + ".parquet")
        assert os.path.exists(path), f"no table {path}; there are {sorted(os.listdir(folder))}"
        db.execute(f"create table {name} as select {columns} from '{path}'")
    db.execute(f"create table stacks as select * from '{os.path.join(folder, 'stacks.parquet')}'")
    # The time of every event by its number, over all event tables.
    events = sorted(
        os.path.join(folder, file)
        for file in os.listdir(folder)
        if {"seq", "time_ns", "cycles"} <= columns_of(db, os.path.join(folder, file))
    )
    db.execute("create table times as " + " union all ".join(f"select seq, time_ns from '{p}'" for p in events))


def columns_of(db, path):
    return {row[0] for row in db.execute(f"describe select * from '{path}'").fetchall()}


def main():
    folder, report = sys.argv[1:]
    with open(report) as file:
        told = {row["migrate_seq"]: row for row in json.load(file)["moves"] if row["kind"] == "move"}
    db = duckdb.connect()
    load(db, folder)
    for query in (WAYS, MOVES, BEGINS, ENDS):
        db.execute(query)

    rows = db.execute(ROWS).fetchall()
    assert len(rows) == len(told) >= 1, f"{len(rows)} moves by SQL, {len(told)} in the report"
    totals = {}
    for seq, path, src, dst, begin, end, ended, total in rows:
        row = told[seq]
        assert ended == row["ended"], f"move @{seq}: SQL says it {ended}, the report {row['ended']}"
        assert path == row["path"], f"move @{seq}: path {path} by SQL, {row['path']} in the report"
        assert begin == row["begin_seq"], f"move @{seq} begins at @{begin} by SQL: {row}"
        if ended == "open":
            continue
        assert (end, total) == (row["end_seq"], row["total_ns"]), f"move @{seq}: @{end}, {total} ns by SQL: {row}"
        for group in (path, row["cause"], f"{src} => {dst}"):
            count, sum_ns = totals.get(group, (0, 0))
            totals[group] = (count + 1, sum_ns + total)
    for group, (count, sum_ns) in sorted(totals.items()):
        print(f"{group:<12} {count:>6} moves {sum_ns:>12} ns in all")


if __name__ == "__main__":
    main()
