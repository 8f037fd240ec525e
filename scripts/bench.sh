#!/usr/bin/env bash
# What recording costs, as ratios measured in one run on this machine: scripts/bench.py says what and how.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_build_tools
command -v python3 >/dev/null || install_packages Python python3,python3,python
build
exec python3 scripts/bench.py "$MACHINE" "$@"
