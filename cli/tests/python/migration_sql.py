"""Recomputes every move's begin, end and total by SQL over the exported events, and compares.

usage: migration_sql.py FOLDER REPORT_JSON

FOLDER is what `kreplay export --parquet` wrote, REPORT_JSON what `kreplay analyze migration --format json`
printed. The queries read the raw event tables only (never the exported moves), follow definitions.md
section 2, and share nothing with the Rust code: this is a witness from outside. They check the numbers, row
by row, and the totals per path and cause.
"""

import json
import sys

import duckdb

# One row for each sched_migrate_task between two CPUs.
MOVES = """
create table moves as
select m.seq as migrate_seq, m.pid as tid, m.orig_cpu as src_cpu, m.dest_cpu as dst_cpu, m.cpu as by_cpu,
       case when by_stopper then 'stopper'
            when affinity_seq is null or waking_seq > affinity_seq then 'wake'
            else 'direct' end as path,
       waking_seq, affinity_seq, start_seq
from (
  select m.*, m.task_comm = 'migration/' || m.cpu as by_stopper,
    (select max(w.seq) from waking w where w.pid = m.pid and w.seq < m.seq) as waking_seq,
    (select max(a.seq) from affinity a where a.pid = m.pid and a.seq < m.seq) as affinity_seq,
    (select max(s.seq) from work_start s where s.cpu = m.cpu and s.seq < m.seq) as start_seq
  from migrate m where m.orig_cpu <> m.dest_cpu
) m
"""

# Where each begins: its cause's first event.
BEGINS = """
create table begins as
select v.migrate_seq,
  case v.path
    when 'wake' then v.waking_seq
    when 'direct' then v.affinity_seq
    else case when s.pending = 0
      then (select max(q.seq) from work_queue q where q.work = s.work and q.cpu = s.cpu and q.seq < s.seq)
      -- The first work of its pending: a pending's address is used again once it has been completed.
      else (select min(q.seq) from work_queue q
            where q.pending = s.pending and q.task = s.task and q.seq < s.seq
              and q.seq > coalesce((select max(c.seq) from complete c
                                    where c.pending = s.pending and c.seq < s.seq), -1))
    end
  end as begin_seq
from moves v left join work_start s on s.seq = v.start_seq
"""

# Where each ends: the task runs, is moved again, or exits.
ENDS = """
create table ends as
select v.migrate_seq,
  least(
    coalesce((select min(s.seq) from switch s where s.next_pid = v.tid and s.seq > v.migrate_seq), 1 << 62),
    coalesce((select min(n.seq) from migrate n where n.pid = v.tid and n.seq > v.migrate_seq
              and n.orig_cpu <> n.dest_cpu), 1 << 62),
    coalesce((select min(x.seq) from exits x where x.pid = v.tid and x.seq > v.migrate_seq), 1 << 62)
  ) as end_seq
from moves v
"""

TABLES = {
    "switch": ("sched_switch", "seq, time_ns, cpu, next_pid"),
    "migrate": ("sched_migrate_task", "seq, time_ns, cpu, comm as task_comm, pid, orig_cpu, dest_cpu"),
    "waking": ("sched_waking", "seq, time_ns, pid"),
    "affinity": ("affinity_entry", "seq, time_ns, pid"),
    "exits": ("sched_process_exit", "seq, time_ns, pid"),
    "work_queue": ("work_queue", "seq, time_ns, cpu, work, pending, task"),
    "work_start": ("work_start", "seq, time_ns, cpu, work, pending, task"),
    "complete": ("stop_complete", "seq, time_ns, pending, task"),
}
