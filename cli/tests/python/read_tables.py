"""Reads every exported table with duckdb, polars and pandas, which must see the same rows and columns.

usage: read_tables.py FOLDER
"""

import os
import sys

import duckdb
import pandas
import polars

# Linux's events and ours that every boot has.
EXPECTED = {
    "sched_switch": {"seq", "time_ns", "cycles", "insns", "cpu", "prev_comm", "prev_state", "next_pid", "next_prio"},
    "sched_migrate_task": {"seq", "time_ns", "orig_cpu", "dest_cpu", "task_pid", "task_comm"},
    "stop_work_queue": {"work", "fn", "caller", "done", "pending", "task", "nr_todo"},
    "moves": {"total_ns", "path", "cause", "begin_seq", "end_seq"},
    "tasks": {"pid", "comm"},
}


def main():
    folder = sys.argv[1]
    tables = sorted(file[: -len(".parquet")] for file in os.listdir(folder) if file.endswith(".parquet"))
    for table, columns in EXPECTED.items():
        assert table in tables, f"no {table} in {tables}"
        seen = set(polars.scan_parquet(os.path.join(folder, table + ".parquet")).collect_schema().names())
        assert columns <= seen, f"{table}: no {columns - seen} in {seen}"

    events = 0
    for table in tables:
        path = os.path.join(folder, table + ".parquet")
        by_polars = polars.read_parquet(path)
        by_pandas = pandas.read_parquet(path)
        by_duckdb = duckdb.sql(f"from '{path}'")
        assert list(by_polars.columns) == list(by_pandas.columns) == list(by_duckdb.columns), table
        rows = by_duckdb.fetchall()
        assert len(by_polars) == len(by_pandas) == len(rows), table
        assert rows == by_polars.rows(), f"{table}: duckdb and polars read other values"
        for column in by_polars.columns:
            if by_polars[column].dtype.is_integer() and by_polars[column].null_count() == 0:
                assert int(by_pandas[column].sum()) == (by_polars[column].sum() or 0), f"{table}.{column}"
        if {"seq", "cycles"} <= set(by_polars.columns):
            assert by_polars["seq"].is_sorted() and by_polars["seq"].n_unique() == len(by_polars), table
            events += len(by_polars)

    # Together the event tables hold every event once.
    sql = " union all ".join(
        f"select seq from '{os.path.join(folder, t)}.parquet'"
        for t in tables
        if "cycles" in polars.read_parquet_schema(os.path.join(folder, t + ".parquet"))
    )
    count, distinct, first, last = duckdb.sql(
        f"select count(*), count(distinct seq), min(seq), max(seq) from ({sql})"
    ).fetchall()[0]
    assert count == distinct == events == last + 1 and first == 0, (count, distinct, events, first, last)
    print(f"{len(tables)} tables, {events} events")


if __name__ == "__main__":
    main()
