"""Writes the scheduler's events of a Parquet export as a perf.data file, so that perf itself can read them.

usage: perf_data.py TABLES OUT

The layout is that of tools/perf/Documentation/perf.data-file-format.txt. Times are causal times. perf has no
notion of three things that are therefore said in its own way:
- a preempted task is state 0 here, because perf before 6.9 has no letter for 0x100;
- `sched_stat_runtime`, the only thing `perf sched latency` takes run times from, is written at each switch-out
  with the time since the switch-in;
- names come from PERF_RECORD_COMM, written wherever an event shows a task under a name that it did not have.
"""

import struct
import sys
from pathlib import Path

import polars as pl

U64 = struct.Struct("<Q").pack
U32 = struct.Struct("<I").pack

COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""
# Name: (fields as (C type and name, offset, size, signed), how to pack them, print format).
TASK = [("char comm[16]", 8, 16, 0), ("pid_t pid", 24, 4, 1), ("int prio", 28, 4, 1)]
EVENTS = {
    "sched_switch": (
        [
            ("char prev_comm[16]", 8, 16, 0),
            ("pid_t prev_pid", 24, 4, 1),
            ("int prev_prio", 28, 4, 1),
            ("long prev_state", 32, 8, 1),
            ("char next_comm[16]", 40, 16, 0),
            ("pid_t next_pid", 56, 4, 1),
            ("int next_prio", 60, 4, 1),
        ],
        "<16siiq16sii",
        '"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%ld ==> next_comm=%s next_pid=%d next_prio=%d", '
        "REC->prev_comm, REC->prev_pid, REC->prev_prio, REC->prev_state, REC->next_comm, REC->next_pid, REC->next_prio",
    ),
    "sched_migrate_task": (
        TASK + [("int orig_cpu", 32, 4, 1), ("int dest_cpu", 36, 4, 1)],
        "<16siiii",
        '"comm=%s pid=%d prio=%d orig_cpu=%d dest_cpu=%d", '
        "REC->comm, REC->pid, REC->prio, REC->orig_cpu, REC->dest_cpu",
    ),
    "sched_stat_runtime": (
        [("char comm[16]", 8, 16, 0), ("pid_t pid", 24, 4, 1), ("u64 runtime", 32, 8, 0), ("u64 vruntime", 40, 8, 0)],
        "<16siiQQ",
        '"comm=%s pid=%d runtime=%Lu [ns] vruntime=%Lu [ns]", REC->comm, REC->pid, REC->runtime, REC->vruntime',
    ),
}
for name in ("sched_waking", "sched_wakeup", "sched_wakeup_new"):
    EVENTS[name] = (
        TASK + [("int target_cpu", 32, 4, 1)],
        "<16siii",
        '"comm=%s pid=%d prio=%d target_cpu=%03d", REC->comm, REC->pid, REC->prio, REC->target_cpu',
    )
IDS = {name: 300 + number for number, name in enumerate(sorted(EVENTS))}

IP, TID, TIME, CPU, PERIOD, RAW, IDENTIFIER = 1, 2, 4, 0x80, 0x100, 0x400, 0x10000
SAMPLE_TYPE = IP | TID | TIME | CPU | PERIOD | RAW | IDENTIFIER
SAMPLE, COMM, FORK = 9, 3, 7


def format_text(name):
    fields, _, text = EVENTS[name]
    lines = "".join(
        f"\tfield:{what};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n" for what, offset, size, signed in fields
    )
    return f"name: {name}\nID: {IDS[name]}\nformat:\n{COMMON}{lines}\nprint fmt: {text}\n".encode()


def tracing_data():
    page = (
        b"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
        b"\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
        b"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
        b"\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n"
    )
    event = b"# compressed entry header\n"
    out = b"\x17\x08\x44tracing0.6\0" + b"\0" + b"\x08" + U32(4096)
    out += b"header_page\0" + U64(len(page)) + page
    out += b"header_event\0" + U64(len(event)) + event
    out += U32(0) + U32(1) + b"sched\0" + U32(len(EVENTS))
    for name in sorted(EVENTS):
        text = format_text(name)
        out += U64(len(text)) + text
    return out + U32(0) + U32(0) + U64(0)


def attribute(name):
    sample_id_all = 1 << 18
    return struct.pack(
        "<IIQQQQQ", 2, 112, IDS[name], 1, SAMPLE_TYPE, 4, sample_id_all
    ) + bytes(112 - 48)


def record(kind, body):
    assert len(body) % 8 == 0
    return struct.pack("<IHH", kind, 0, 8 + len(body)) + body


def sample_id(pid, time, cpu, identifier):
    return struct.pack("<iiQIIQ", pid, pid, time, cpu, 0, identifier)


def comm_record(pid, comm, time):
    name = comm.encode() + b"\0"
    name += bytes(-len(name) % 8)
    return record(COMM, struct.pack("<ii", pid, pid) + name + sample_id(pid, time, 0, 1))


def fork_record(parent, child, time):
    return record(FORK, struct.pack("<iiiiQ", child, parent, child, parent, time) + sample_id(parent, time, 0, 1))


def sample(name, row, pid, values):
    _, layout, _ = EVENTS[name]
    packed = [v.encode() if isinstance(v, str) else v for v in values]
    raw = struct.pack("<HBBi", IDS[name], 0, 0, pid) + struct.pack(layout, *packed)
    raw += bytes((-(len(raw) + 4)) % 8)
    identifier = 1 + sorted(EVENTS).index(name)
    head = struct.pack("<QQiiQIIQ", identifier, 0, pid, pid, row["time_ns"], row["cpu"], 0, 1)
    return record(SAMPLE, head + U32(len(raw)) + raw)


def events(folder):
    """Rows of the tables that perf wants, in the order of causal time."""
    rows = []
    for name in [*EVENTS, "sched_process_fork"]:
        path = Path(folder) / f"{name}.parquet"
        if path.exists():
            rows.extend((name, row) for row in pl.read_parquet(path).iter_rows(named=True))
    rows.sort(key=lambda named: (named[1]["time_ns"], named[1]["seq"]))
    return rows


def records(folder):
    out = [comm_record(0, "swapper", 0)]
    names = {0: "swapper"}
    since = {}  # When each CPU switched last.

    def named(pid, comm, time):
        if pid != 0 and names.get(pid) != comm:
            names[pid] = comm
            out.append(comm_record(pid, comm, time))

    for name, row in events(folder):
        time, cpu, pid = row["time_ns"], row["cpu"], row["pid"]
        named(pid, row["comm"], time)
        if name == "sched_process_fork":
            out.append(fork_record(row["parent_pid"], row["child_pid"], time))
            named(row["child_pid"], row["child_comm"], time)
            continue
        if name == "sched_switch":
            prev = row["prev_pid"]
            named(prev, row["prev_comm"], time)
            named(row["next_pid"], row["next_comm"], time)
            if prev != 0 and cpu in since:
                ran = time - since[cpu]
                out.append(sample("sched_stat_runtime", row, pid, (row["prev_comm"], prev, 0, ran, 0)))
            since[cpu] = time
            state = 0 if row["prev_state"] & 0x100 else row["prev_state"]
            values = (
                row["prev_comm"], prev, row["prev_prio"], state,
                row["next_comm"], row["next_pid"], row["next_prio"],
            )  # fmt: skip
        else:
            named(row["task_pid"], row["task_comm"], time)
            last = ("orig_cpu", "dest_cpu") if name == "sched_migrate_task" else ("target_cpu",)
            values = (row["task_comm"], row["task_pid"], row["prio"], *(row[column] for column in last))
        out.append(sample(name, row, pid, values))
    return b"".join(out)


def string(text):
    data = text.encode() + b"\0"
    data += bytes(-len(data) % 64)
    return U32(len(data)) + data


def cpus(folder):
    return 1 + max(row["cpu"] for _, row in events(folder))


def write(folder, out):
    data = records(folder)
    count = cpus(folder)
    attributes, ids, first_id = b"", b"", 104 + 128 * len(EVENTS)
    description = U32(len(EVENTS)) + U32(112)
    for number, name in enumerate(sorted(EVENTS)):
        attributes += attribute(name) + struct.pack("<QQ", first_id + 8 * number, 8)
        ids += U64(number + 1)
        description += attribute(name) + U32(1) + string(f"sched:{name}") + U64(number + 1)
    features = {
        1: tracing_data(),
        3: string("kreplay"),
        4: string("6.8.0"),
        5: string("6.8"),
        6: string("x86_64"),
        7: U32(count) + U32(count),
        11: U32(1) + string("kreplay"),
        12: description,
    }
    data_at = first_id + len(ids)
    at = data_at + len(data) + 16 * len(features)
    sections, contents, bits = b"", b"", 0
    for bit, content in sorted(features.items()):
        sections += struct.pack("<QQ", at + len(contents), len(content))
        contents += content
        bits |= 1 << bit
    header = b"PERFILE2" + struct.pack(
        "<QQQQQQQQ", 104, 128, 104, len(attributes), data_at, len(data), 0, 0
    ) + bits.to_bytes(32, "little")  # fmt: skip
    Path(out).write_bytes(header + attributes + ids + data + sections + contents)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
