#!/bin/sh
# `make bare`: README's two commands on a bare Debian, in a folder, as root and as an ordinary user with sudo.
#
#   stack/bare.sh [SUITE …]         bookworm and trixie unless told otherwise
#   ACCOUNTS=root COMMANDS=demo     only some of it
#   DEBIAN_MIRROR=…                 where packages come from; Debian's own by default
#
# Neither Java nor Redis nor a virtual environment is there before. What this machine knows of the network goes along:
# its resolver, its certificates, its pip.conf and Maven settings. The last lines of each command are printed, all of
# them are in the log that is named. The exit status is 0 if all went well.
set -eu
cd "$(dirname "$0")/.."
checkout=$PWD
[ "$(id -u)" = 0 ] || { echo "error: debootstrap needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "error: please install debootstrap" >&2; exit 1; }

base=${BARE_FOLDER:-/var/tmp/rq-shipper-bare}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
failed=0
mkdir -p "$base"

# A bare system, kept as an archive: making one takes minutes.
archive_of() {
    suite=$1
    [ -f "$base/$suite.tar" ] || {
        echo "debootstrap $suite …"
        rm -rf "$base/$suite.new"
        debootstrap --variant=minbase "$suite" "$base/$suite.new" "$mirror" >"$base/debootstrap-$suite.log" 2>&1 || {
            tail -n 5 "$base/debootstrap-$suite.log" >&2
            exit 1
        }
        tar -C "$base/$suite.new" -cf "$base/$suite.tar.new" .
        mv "$base/$suite.tar.new" "$base/$suite.tar"
        rm -rf "$base/$suite.new"
    }
}

# What the machine knows, and what README asks for: git and make. For the user: sudo.
furnish() {
    root=$1
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
        [ ! -f "$file" ] || cp -L "$file" "$root$file"
    done
    if [ -f "$HOME/.m2/settings.xml" ]; then
        for home in "$root/root" "$root/home/dev"; do
            mkdir -p "$home/.m2" && cp "$HOME/.m2/settings.xml" "$home/.m2/"
        done
    fi
    # The machine's certificates, one to a file, for ca-certificates and for Java's store.
    mkdir -p "$root/usr/local/share/ca-certificates"
    awk -v folder="$root/usr/local/share/ca-certificates" \
        '/BEGIN CERT/ { n++ } n { print > (folder "/machine-" n ".crt") }' /etc/ssl/certs/ca-certificates.crt
    inside "$root" apt-get update -qq
    inside "$root" apt-get install -y -qq --no-install-recommends ca-certificates git make sudo iproute2
    inside "$root" useradd --create-home --shell /bin/sh dev 2>/dev/null || true
    inside "$root" chown -R dev: /home/dev
    echo "dev ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/dev"
    inside "$root" git config --system --add safe.directory "*" # the checkout is somebody else's
    inside "$root" git clone -q /checkout /root/rq-shipper
    inside "$root" su dev -c "git clone -q /checkout /home/dev/rq-shipper"
}

# Run a command in the folder, with processes and mounts of its own that end with it.
inside() {
    root=$1
    shift
    # shellcheck disable=SC2016 # $ is the inner shell's
    unshare --mount --pid --fork --kill-child sh -c '
        root=$1; shift
        mount --bind "$root" "$root" # Java asks which file system a file is on, and looks for a mount at /
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/dev/shm"
        mkdir -p "$root/checkout" && mount --bind "$0" "$root/checkout" && mount -o remount,ro,bind "$root/checkout"
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
    ' "$checkout" "$root" "$@"
}

for suite in ${*:-bookworm trixie}; do
    archive_of "$suite"
    for account in ${ACCOUNTS:-root dev}; do
        root=$base/$suite-$account
        log=$base/$suite-$account.log
        rm -rf "$root" && mkdir -p "$root"
        tar -C "$root" -xf "$base/$suite.tar"
        furnish "$root" >"$log" 2>&1 || { tail -n 5 "$log"; failed=1; continue; }
        home=/root && [ "$account" = root ] || home=/home/dev
        for command in ${COMMANDS:-demo test}; do
            begun=$(date +%s)
            status=0
            inside "$root" su "$account" -c "cd $home/rq-shipper && make $command" >>"$log" 2>&1 </dev/null || status=$?
            echo "=== $suite, $account: make $command: exit $status after $(($(date +%s) - begun)) s ($log)"
            tail -n 4 "$log"
            [ "$status" -eq 0 ] || failed=1
        done
        rm -rf "$root"
    done
done
exit "$failed"
