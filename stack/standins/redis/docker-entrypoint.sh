#!/bin/sh
# As in the official image: root becomes redis. Protected mode is off in the official build.
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    chown redis .
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
[ "$1" != redis-server ] || set -- "$@" --protected-mode no
exec "$@"
