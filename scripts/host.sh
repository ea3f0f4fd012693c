# Starts and stops a host for the scripts beside this one. Sourced, not run.
# shellcheck shell=bash

walker=target/release/walker
data=${WALKER_DATA_DIR:-.walker}

say() { printf '==> %s\n' "$*" >&2; }

# start_host ADDRESS [LOG]: sets $host (its process) and $url; its log goes to LOG, or to the terminal.
start_host() {
    local pipe line log=${2:-/dev/stderr}
    pipe=$(mktemp -u)
    mkfifo -m 600 "$pipe"
    # In a process group of its own, so that Ctrl-C reaches it through us and once only.
    set -m
    "$walker" serve --listen "$1" --data-dir "$data" >"$pipe" 2>>"$log" &
    host=$!
    set +m
    trap 'stop_host' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    exec 3<"$pipe"
    rm -f "$pipe"
    # No line, but an end: it failed.
    if ! read -r line <&3; then
        if [ "$log" != /dev/stderr ]; then cat "$log" >&2; fi
        echo "error: the host did not start" >&2
        exit 1
    fi
    url=${line##* }
    # For the command line, wherever the data lies.
    export WALKER_URL=$url
    WALKER_TOKEN=$(token)
    export WALKER_TOKEN
}

stop_host() {
    trap - EXIT
    [ -n "${host:-}" ] || return 0
    kill -TERM "$host" 2>/dev/null || true
    # A second Ctrl-C must not leave it behind half stopped.
    trap '' INT TERM
    wait "$host" || true
    trap - INT TERM
    host=
}

# What the host wrote for clients in this folder.
token() { sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' "$data/client.json"; }
