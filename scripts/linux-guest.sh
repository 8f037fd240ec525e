#!/usr/bin/env bash
# Fetches an unmodified Linux to run as a guest: Debian 12's stock cloud kernel 6.1, its vmlinux with DWARF, and
# busybox. Nothing is installed: the packages are downloaded and three files taken out of them. Prints the folder
# with `vmlinuz`, `vmlinux`, `busybox` and `packages`, which names what they came from. What is there already is
# kept: delete the folder to fetch anew. With an argument, also makes an initial RAM disk of busybox and
# cli/tests/linux/init in that file.
#
# The folder: $KREPLAY_LINUX_GUEST, else kreplay/linux-guest in $XDG_CACHE_HOME or ~/.cache. It takes 0.6 GB.
here=$PWD
case ${1:-} in /*) here= ;; esac
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# Standard output is for the folder's name.
exec 3>&1 >&2

cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
guest=${KREPLAY_LINUX_GUEST:-${cache:-$CARGO_TARGET_DIR}/kreplay/linux-guest}
mkdir -p "$guest"
guest=$(cd "$guest" && pwd)
# One at a time: tests may ask for it side by side.
exec 9>"$guest/.lock"
flock 9

APT=(-o APT::Sandbox::User=root)

# The newest cloud kernel 6.1 that is offered together with its debug symbols.
newest_kernel() {
    local name
    apt-cache "${APT[@]}" search --names-only '^linux-image-6\.1\.[0-9.]+-[0-9]+-cloud-amd64$' | cut -d' ' -f1 |
        sort -rV | while read -r name; do
        if [ -n "$(apt-cache "${APT[@]}" search --names-only "^$name-dbg\$")" ]; then
            echo "$name"
            break
        fi
    done
}

# Uses Debian 12's archive beside what this system is made of: lists and cache are in the guest's folder.
private_apt() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg root=$guest/apt
    [ -f $keys ] || install_packages "the key of Debian's archive" debian-archive-keyring,debian-keyring,debian-archive-keyring
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
    : >"$root/status"
    cat >"$root/sources.list" <<LIST
deb [signed-by=$keys] http://deb.debian.org/debian bookworm main
deb [signed-by=$keys] http://deb.debian.org/debian-security bookworm-security main
LIST
    APT+=(-o "Dir::Etc::SourceList=$root/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$root/lists"
        -o "Dir::State::status=$root/status" -o "Dir::Cache=$root/cache" -o APT::Architecture=amd64 -o APT::Architectures::=amd64)
    apt-get "${APT[@]}" -qq update
}

# One file of a package.
take() {
    dpkg-deb --fsys-tarfile "$1" | tar -xO -f - "./$2" >"$3"
    [ -s "$3" ] || die "$(basename "$1") has no $2"
}

fetch() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die \
        "fetching Debian's kernel needs apt-get and dpkg; elsewhere, put vmlinuz, vmlinux (with DWARF, of the same" \
        "build) and a static busybox into $guest, with a line in $guest/packages that says what they are"
    local kernel debs=$guest/debs release
    kernel=$(newest_kernel)
    if [ -z "$kernel" ] && grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
        as_root apt-get -qq update
        kernel=$(newest_kernel)
    fi
    if [ -z "$kernel" ]; then
        private_apt
        kernel=$(newest_kernel)
    fi
    [ -n "$kernel" ] || die "apt offers no linux-image-6.1*-cloud-amd64 that has debug symbols"
    say "fetching $kernel, $kernel-dbg and busybox-static (310 MB, once; kept in $guest)"
    rm -rf "$debs"
    mkdir -p "$debs"
    (cd "$debs" && apt-get "${APT[@]}" -qq download "$kernel" "$kernel-dbg" busybox-static)
    release=${kernel#linux-image-}
    take "$debs"/"$kernel"_*.deb "boot/vmlinuz-$release" "$guest/vmlinuz"
    take "$debs"/"$kernel"-dbg_*.deb "usr/lib/debug/boot/vmlinux-$release" "$guest/vmlinux"
    take "$debs"/busybox-static_*.deb bin/busybox "$guest/busybox"
    # Written last: its presence means that the rest is there.
    (cd "$debs" && for deb in *.deb; do
        printf '%s %s %s\n' "$(dpkg-deb -f "$deb" Package)" "$(dpkg-deb -f "$deb" Version)" "$(sha256sum <"$deb" | cut -d' ' -f1)"
    done) >"$guest/packages.new"
    mv "$guest/packages.new" "$guest/packages"
    rm -rf "$debs" "$guest/apt"
}

[ -f "$guest/packages" ] || fetch
if [ $# -gt 0 ]; then
    command -v python3 >/dev/null || install_packages Python python3,python3,python
    # Elsewhere than in the shared folder: another checkout may have another script.
    python3 scripts/initramfs.py "$guest/busybox" cli/tests/linux/init "$here/$1"
fi
echo "$guest" >&3
