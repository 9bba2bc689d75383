#!/bin/sh
# All that a command needs and is not here yet: packages of the distribution, a virtual environment, an
# Elasticsearch. Run again it finds everything in place and takes a second.
#
#   stack/setup.sh [tools|servers|tests]      servers unless told otherwise
#
#   tools     the virtual environment: for lint, types, unit tests
#   servers   Redis and Elasticsearch, too: for the demo
#   tests     what only the tests need, too
#
# With ELASTICSEARCH_URL set no server is fetched, and with REDIS_URL none is installed: yours are used.
# RQ=2.12 installs the latest RQ of that version instead of the latest of all, ELASTICSEARCH=8 chooses that server and
# its client. Another choice makes the virtual environment anew.
set -eu
cd "$(dirname "$0")/.."
level=${1:-servers}

fail() {
    echo "error: $*" >&2
    exit 1
}

# Run a command with its output in a log, and say every few seconds that it goes on. Its last lines, if it fails.
patiently() {
    log=$(mktemp)
    "$@" >"$log" 2>&1 &
    running=$!
    waited=0
    while kill -0 "$running" 2>/dev/null; do
        sleep 0.5
        waited=$((waited + 1))
        [ $((waited % 10)) -ne 0 ] || echo "  … $((waited / 2)) s"
    done
    status=0
    wait "$running" || status=$?
    [ "$status" -eq 0 ] || tail -n 5 "$log" >&2
    rm -f "$log"
    return "$status"
}

# --- what is missing ---

python_is_good() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && python_is_good "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

compose_is_here() {
    docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1
}

missing=""
[ -n "$(find_python)" ] || missing="$missing python3 python3-venv"
if [ "$level" != tools ]; then
    if [ -z "${REDIS_URL:-}" ]; then
        command -v redis-server >/dev/null || missing="$missing redis-server"
    fi
    if [ -z "${ELASTICSEARCH_URL:-}" ]; then
        command -v mvn >/dev/null || missing="$missing maven"
        command -v java >/dev/null || missing="$missing default-jre-headless"
    fi
fi
if [ "$level" = tests ]; then
    compose_is_here || missing="$missing docker-compose"
    [ -n "$(PATH="$PATH:/usr/sbin" command -v logrotate)" ] || missing="$missing logrotate" # deploy/logrotate
    command -v curl >/dev/null || missing="$missing curl" # the compose file's health checks use it
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        missing="$missing chromium"
fi

# --- packages of the distribution ---

install() {
    $as_root apt-get update -qq &&
        # shellcheck disable=SC2086 # one word for each package
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || fail "please install:$missing"
    if [ "$(id -u)" = 0 ]; then
        as_root=env
    else
        command -v sudo >/dev/null || fail "please install, as root: apt-get install$missing"
        as_root=sudo
        sudo -v || fail "sudo is not for this account. Please have installed, as root: apt-get install$missing"
    fi
    echo "Not on this machine yet, and installed now by apt-get:$missing"
    patiently install ||
        fail "the packages could not be installed. Is the network there? Otherwise install by hand:$missing"
fi

python=$(find_python)
[ -n "$python" ] || fail "Python 3.11 or newer with its venv module is needed, and this distribution's is older." \
    "Install one (on Ubuntu 22.04: apt-get install python3.11-venv) and run this again."

# --- the virtual environment, and the server ---

server=""
[ "$level" = tools ] || [ -n "${ELASTICSEARCH_URL:-}" ] || server=$("$python" -m stack.elasticsearch announce)
client=$("$python" -m stack.elasticsearch client)
case ${RQ:-} in
"") rq="" ;;
2.6 | 2.6.*) rq="rq==$RQ.* redis<6" ;; # its SpawnWorker does not work with a newer redis-py
*) rq="rq==$RQ.*" ;;
esac
wanted="$("$python" -V) $client${rq:+ $rq} $(cat pyproject.toml hatch_build.py shipper/ship/reader/*.[ch] | cksum)"
environment=""
[ "$(cat .venv/.installed 2>/dev/null || true)" = "$wanted" ] || environment=".venv (150 MB to fetch, 500 MB on the disk)"
if [ -n "$server$environment" ]; then
    echo "Fetched once, then kept: $environment${environment:+${server:+, }}$server"
fi

quick_pip='import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (23, 3))'

if [ -n "$environment" ]; then
    echo "Setting up .venv ($client${rq:+ $rq}) …"
    rm -rf .venv
    "$python" -m venv .venv
    pip=".venv/bin/python -m pip --disable-pip-version-check install -q"
    if ! .venv/bin/python -c "$quick_pip"; then
        # It would look at every file of every release of a package, for twice as long as all the rest takes.
        $pip --upgrade pip || fail "pip could not be brought up to date. Is the network there?"
    fi
    # shellcheck disable=SC2086 # one word for each requirement
    patiently $pip -e '.[dev]' "$client" $rq ||
        fail "pip could not install what is needed. Is the network there, and the package index reachable?"
    echo "$wanted" >.venv/.installed
fi

if [ -n "$server" ]; then
    .venv/bin/python -m stack.elasticsearch fetch
fi
