# Sourced by the scripts here that start servers and measure them: one folder for what they write,
# one list of processes, and an end that leaves neither behind.
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is read by those who source it

dir=$(mktemp -d)
raw=$dir/raw # "metric peer value", one line for each round: what bench/report.lua reads
: >"$raw"
pids=()

finish() {
  trap - EXIT INT TERM
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for _ in $(seq 60); do
    kill -0 "${pids[@]}" 2>/dev/null || break
    sleep 0.1
  done
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ "$(nproc)" -ge 2 ]; then
  on_server="taskset -c 0" on_load="taskset -c 1"
else
  say "one core only: server and load share it"
  on_server= on_load=
fi

# need_descriptors COUNT WHAT
need_descriptors() {
  [ "$(ulimit -Hn)" -gt "$1" ] || fail "$2 need more descriptors: ulimit -n $(($1 + 500))"
  ulimit -n "$(ulimit -Hn)"
}

# note METRIC PEER VALUE
note() {
  printf '%s %s %s\n' "$1" "$2" "$3" >>"$raw"
}

free_port() {
  local port
  while :; do
    port=$((15000 + RANDOM % 15000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# wait_for PORT NAME [PID LOG]
wait_for() {
  for _ in $(seq 200); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    [ -z "${3:-}" ] || kill -0 "$3" 2>/dev/null || fail "$2 has ended: $(tail -n 3 "$4")"
    sleep 0.05
  done
  fail "$2 does not start"
}

stop() {
  kill -TERM "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# CPU of all threads of a process and its children, in nanoseconds.
cpu_ns() {
  for pid in "$1" $(pgrep -P "$1"); do cat /proc/"$pid"/task/*/schedstat; done |
    awk '{ n += $1 } END { printf "%.0f", n }'
}

rss_kib() {
  for pid in "$1" $(pgrep -P "$1"); do awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; done |
    awk '{ n += $1 } END { print n }'
}

# Until a server has done what it does after its start (keys, say): settle PID
settle() {
  local before now
  before=$(cpu_ns "$1")
  for _ in $(seq 50); do
    sleep 0.2
    now=$(cpu_ns "$1")
    [ $((now - before)) -gt 4000000 ] || return 0
    before=$now
  done
}

# wrk_cpu METRIC PEER PID URL [wrk options]: CPU microseconds per request, for $seconds.
wrk_cpu() {
  local metric=$1 peer=$2 pid=$3 url=$4 before after count
  shift 4
  before=$(cpu_ns "$pid")
  $on_load wrk -t1 -c64 -d"${seconds}s" "$@" "$url" >"$dir/wrk"
  after=$(cpu_ns "$pid")
  ! grep -q 'Non-2xx' "$dir/wrk" || fail "$peer: $(grep Non-2xx "$dir/wrk")"
  count=$(awk '/requests in/ { print $1 }' "$dir/wrk")
  [ "${count:-0}" -gt 0 ] || fail "$peer answered no request: $(cat "$dir/wrk")"
  note "$metric" "$peer" "$(echo "$after $before $count" | awk '{ print ($1 - $2) / $3 / 1000 }')"
}
