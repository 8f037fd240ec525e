"""Parses a Perfetto trace with Perfetto's own schema (PyPI package perfetto).

Usage: perfetto_schema.py TRACE EVENTS

Every field must be one that the schema knows, and the bundles must hold EVENTS events.
"""

import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2


def unknown(message, path, found):
    for field in UnknownFieldSet(message):
        found[f"{path}.{field.field_number}"] = found.get(f"{path}.{field.field_number}", 0) + 1
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for inner in value if descriptor.is_repeated else [value]:
            unknown(inner, f"{path}.{descriptor.name}", found)


trace = perfetto_trace_pb2.Trace()
with open(sys.argv[1], "rb") as file:
    trace.ParseFromString(file.read())
found = {}
events = 0
for packet in trace.packet:
    unknown(packet, "packet", found)
    events += len(packet.ftrace_events.event)
assert not found, f"fields that the schema does not have: {found}"
assert events == int(sys.argv[2]), f"{events} events"
print(f"{len(trace.packet)} packets, {events} events, no unknown field")
