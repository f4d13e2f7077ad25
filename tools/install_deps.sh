#!/usr/bin/env bash
# Installs what cardiograd is built from, out of the system's own packages.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/install_deps.sh [--check] [--dev]

Installs the packages that cardiograd is built from, on Debian 12, Debian 13 or
Ubuntu 24.04, as root or through sudo. What is there already is left alone, and
where nothing is missing neither root nor a network is needed.

  --check   install nothing: name what is missing; exit 1 if anything is
  --dev     also what developers use: clang-format, clang-tidy, clang with its
            sanitizer and fuzzer runtime, debootstrap
  --help    this text
USAGE
}

check=0
dev=0
while (($#)); do
  case $1 in
    --check) check=1 ;;
    --dev) dev=1 ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done

system_id=unknown
system_version=
if [[ -r /etc/os-release ]]; then
  # shellcheck source=/dev/null
  system_id=$(source /etc/os-release && printf '%s' "${ID:-unknown}")
  # shellcheck source=/dev/null
  system_version=$(source /etc/os-release && printf '%s' "${VERSION_ID:-}")
fi
system="$system_id${system_version:+ $system_version}"

# a|b: either will do, a is what gets installed.
packages=(
  g++ cmake ninja-build ccache patchelf
  libdnnl-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev libcsv-dev libzip-dev
  libgtest-dev libboost-context-dev libopenmpi-dev openmpi-bin
  'gnuplot-nox|gnuplot-qt|gnuplot-x11'
)
if ((dev)); then
  # The runtime of the sanitizers and libFuzzer carries the number of the system's clang.
  case $system in
    'debian 12') clang_version=14 ;;
    'ubuntu 24.04') clang_version=18 ;;
    *) clang_version=19 ;;
  esac
  packages+=(clang-format clang-tidy clang "libclang-rt-$clang_version-dev" libomp-dev debootstrap)
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this system ($system) has no apt: install what these Debian packages hold with its own" \
    "package manager, then build with 'cmake --preset release && cmake --build --preset release':" \
    "${packages[*]%%|*}"
fi

is_installed() {
  local status
  status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) && [[ $status == installed ]]
}

# Prints those of the packages that are not installed, a line each.
list_missing() {
  local entry name names
  for entry in "${packages[@]}"; do
    IFS='|' read -r -a names <<<"$entry"
    for name in "${names[@]}"; do
      is_installed "$name" && continue 2
    done
    printf '%s\n' "${names[0]}"
  done
}

mapfile -t missing < <(list_missing)
if ((${#missing[@]} == 0)); then
  say "all ${#packages[@]} packages that cardiograd is built from are installed"
  exit 0
fi
if ((check)); then
  say "missing packages: ${missing[*]}"
  exit 1
fi

case $system in
  'debian 12' | 'debian 13' | 'ubuntu 24.04') ;;
  *) warn "$system is not among the tested systems (Debian 12 and 13, Ubuntu 24.04); trying all the same" ;;
esac

privileged=()
if ((EUID != 0)); then
  command -v sudo >/dev/null ||
    fail "installing packages needs root, and sudo is not installed; as root, run: apt-get install ${missing[*]}"
  privileged=(sudo)
  # Without a terminal nobody can type a password: fail at once instead of waiting for one.
  if [[ ! -t 0 ]]; then
    sudo -n true 2>/dev/null ||
      fail "installing packages needs root, and sudo asks for a password; as root, run: apt-get install ${missing[*]}"
    privileged=(sudo -n)
  fi
fi

apt_get() {
  "${privileged[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
    -o Acquire::Retries=3 "$@" </dev/null
}

# Those of the missing packages that no configured source offers.
list_unknown() {
  local name candidate
  for name in "${missing[@]}"; do
    candidate=$(LC_ALL=C apt-cache policy "$name" | sed -n 's/^  Candidate: //p')
    if [[ -z $candidate || $candidate == '(none)' ]]; then printf '%s\n' "$name"; fi
  done
}

# Most of what cardiograd needs is in Ubuntu's component `universe`, which minimal systems leave out.
# It goes into the entries of Ubuntu's archive itself, old format or new, as add-apt-repository does.
enable_universe() {
  local file
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(SOURCESENTRY)' \
    'Identifier: Packages' 'Component: main' 'Origin: Ubuntu' | sed 's/:[0-9]*$//' | sort -u |
    while IFS= read -r file; do
      say "adding Ubuntu's component universe to $file"
      "${privileged[@]}" sed -i -E '/^(deb |Components:)/{/ universe/!s/ main( |$)/ main universe\1/}' "$file"
    done
}

say "installing ${#missing[@]} packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
update() {
  # One unreachable source must not stop us where the others offer what is missing.
  apt_get update >"$log" 2>&1 || true
  mapfile -t unknown < <(list_unknown)
}
update
if ((${#unknown[@]})) && [[ $system_id == ubuntu ]]; then
  enable_universe
  update
fi
if ((${#unknown[@]})); then
  tail -n 5 "$log" >&2
  fail "apt offers no package ${unknown[*]}: check the network and the sources in /etc/apt" \
    "(the last lines of 'apt-get update' are above)"
fi
if ! apt_get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  fail "'apt-get install' failed (its last lines are above): check the network and the free disk space, then run this again"
fi
mapfile -t missing < <(list_missing)
((${#missing[@]} == 0)) || fail "still missing after 'apt-get install': ${missing[*]}"
say "all ${#packages[@]} packages that cardiograd is built from are installed"
