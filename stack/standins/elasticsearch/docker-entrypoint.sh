#!/bin/bash
# As in the official image: settings of the environment become -E, and ELASTIC_PASSWORD_FILE the bootstrap password.
set -e
umask 0002
export ES_HOME=/usr/share/elasticsearch ES_PATH_CONF=/usr/share/elasticsearch/config ES_DISTRIBUTION_TYPE=zip \
    ES_JAVA_HOME=/usr/share/elasticsearch/jdk JAVA=/usr/share/elasticsearch/jdk/bin/java JAVA_TYPE=ES_JAVA_HOME \
    CLI_JAVA_OPTS="-Xms4m -Xmx64m -XX:+UseSerialGC"
# As in stack/elasticsearch.py: it starts with half of the work, and is slower in the long run.
export ES_JAVA_OPTS="-XX:TieredStopAtLevel=1 -XX:-AlwaysPreTouch -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote $ES_JAVA_OPTS"
ES_TMPDIR=$(mktemp -d)
export ES_TMPDIR
cd $ES_HOME

keystore() {
    CLI_NAME=keystore CLI_LIBS=lib/tools/keystore-cli bash bin/elasticsearch-cli "$@"
}

if [[ -n $ELASTIC_PASSWORD_FILE ]]; then
    [[ $(stat -L -c %a "$ELASTIC_PASSWORD_FILE") =~ ^[46]00$ ]] || {
        echo "ERROR: File $ELASTIC_PASSWORD_FILE from ELASTIC_PASSWORD_FILE must have file permissions 400 or 600" >&2
        exit 1
    }
    [[ -f config/elasticsearch.keystore ]] || keystore create
    keystore list | grep -q '^bootstrap.password$' || keystore add -x bootstrap.password <"$ELASTIC_PASSWORD_FILE"
    unset ELASTIC_PASSWORD_FILE
fi
[[ $(ulimit -Hn) == unlimited || $(ulimit -Hn) -ge 65535 ]] || export LD_PRELOAD=/usr/local/lib/nofile.so
opts=()
while IFS='=' read -r -d '' name value; do
    [[ $name =~ ^[a-z0-9_]+\.[a-z0-9_]+ && -n $value ]] && opts+=("-E$name=$value")
done </proc/self/environ
exec $JAVA -cp "$ES_HOME/lib/tools/server-launcher/*" org.elasticsearch.server.launcher.ServerLauncher "${opts[@]}" \
    </dev/null
