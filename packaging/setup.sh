# Sourced by ./run, ./test and bench/run: installs what is missing and builds. Asks the network for
# nothing when everything is there.
# shellcheck shell=bash

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config lua5.4 liblua5.4-dev libuv1-dev node-llhttp
  libhiredis-dev libssl-dev libsqlite3-dev libpq-dev libpcre2-dev libunistring-dev zlib1g-dev lua-cjson"
# NAME:COMMAND is also satisfied by the command, wherever it comes from.
TEST_PACKAGES="$BUILD_PACKAGES libcmocka-dev lua-busted lua-check lua-luv lua-dkjson redis-server postgresql nginx python3-venv
  clang-14 libclang-rt-14-dev clang-format-14 ccache procps curl openssl nodejs:node npm:npm chromium:chromium"
BENCH_PACKAGES="$BUILD_PACKAGES nginx libnginx-mod-http-lua libnginx-mod-nchan redis-server wrk lua-cjson
  util-linux procps curl openssl python3-venv"

say() {
  printf '\033[1m==>\033[0m %s\n' "$*" >&2
}

fail() {
  printf '\033[1;31mfailed:\033[0m %s\n' "$*" >&2
  exit 1
}

# Prints those of the given packages that are not there.
missing_packages() {
  local installed wanted
  installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package} ' 2>/dev/null |
    sed 's/installed \([^ ]*\)/\1/g') "
  for wanted in "$@"; do
    case $installed in *" ${wanted%%:*} "*) continue ;; esac
    case $wanted in *:*) command -v "${wanted#*:}" >/dev/null && continue ;; esac
    printf '%s ' "${wanted%%:*}"
  done
}

need_packages() {
  local missing sudo=
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null ||
    fail "these Debian packages (or their like) are needed, and there is no apt-get: $missing"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "as root: apt-get install $missing"
    sudo=sudo
  fi
  say "installing $missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  $sudo apt-get install -y -q --no-install-recommends $missing >&2 ||
    { $sudo apt-get update -q >&2 && $sudo apt-get install -y -q --no-install-recommends $missing >&2; } ||
    fail "apt-get could not install them; is the network there? By hand: apt-get install $missing"
}

# build FOLDER [cmake options]: configures once, builds what changed.
build() {
  local folder=$1 launcher=()
  shift
  command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
  if [ ! -f "$folder/build.ninja" ] || [ "$(cat "$folder/options" 2>/dev/null)" != "$*" ]; then
    say "configuring $folder"
    mkdir -p "$folder"
    cmake -G Ninja -B "$folder" "${launcher[@]}" "$@" >"$folder/configure.log" 2>&1 ||
      { cat "$folder/configure.log" >&2; fail "cmake could not configure $folder; its words stand above"; }
    printf '%s' "$*" >"$folder/options"
  fi
  if [ -t 2 ] && [ ! -x "$folder/lunacast" ]; then
    cmake --build "$folder" >&2 || fail "$folder does not build; the compiler's words stand above"
  elif ! cmake --build "$folder" >"$folder/build.log" 2>&1; then
    cat "$folder/build.log" >&2
    fail "$folder does not build; the compiler's words stand above"
  fi
}
