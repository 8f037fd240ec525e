#!/usr/bin/env python3
"""Writes an initramfs (cpio, format newc) whose bytes depend on the files in it and on nothing else.

    initramfs.py BUSYBOX INIT OUTPUT

No time, owner, inode number or order of a folder goes in: times are 0, everything is root's, numbers
count up, names are sorted. Format: Linux's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
import sys

# Applets that the script uses, as links to busybox.
APPLETS = """awk cat chmod cut dd echo grep head kill ls mkdir mount nproc poweroff ps readlink sed seq
sh sleep sort sync tail taskset test tr true uname uniq usleep wc yes""".split()


def record(number, name, mode, data=b"", device=(0, 0), links=1):
    """One file: header, name and data, each padded to 4 bytes."""
    fields = [number, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(name) + 1, 0]
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    head = header + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def main():
    busybox, init, output = sys.argv[1:]
    files = {name: (stat.S_IFDIR | 0o755, b"", (0, 0)) for name in ("bin", "dev", "proc", "sys", "tmp")}
    # The kernel opens it for init before anything is mounted.
    files["dev/console"] = (stat.S_IFCHR | 0o600, b"", (5, 1))
    files["dev/null"] = (stat.S_IFCHR | 0o666, b"", (1, 3))
    for applet in APPLETS:
        files["bin/" + applet] = (stat.S_IFLNK | 0o777, b"busybox", (0, 0))
    for name, path in (("bin/busybox", busybox), ("init", init)):
        with open(path, "rb") as file:
            files[name] = (stat.S_IFREG | 0o755, file.read(), (0, 0))
    archive = b"".join(
        record(number, name, mode, data, device, 2 if stat.S_ISDIR(mode) else 1)
        for number, (name, (mode, data, device)) in enumerate(sorted(files.items()), 1)
    )
    archive += record(0, "TRAILER!!!", 0)
    with open(output, "wb") as file:
        file.write(archive + bytes(-len(archive) % 512))


if __name__ == "__main__":
    main()
