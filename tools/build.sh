#!/usr/bin/env bash
# Configures and builds one preset, and says which backends it has.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/build.sh [PRESET] [--jobs N] [--target NAME]...

Configures and builds a preset of CMakePresets.json (release, debug, asan, cuda;
default: release) in build/PRESET, and prints one line that names the backends
built.

  --jobs N       compile N files at a time (default: one a core, and at least
                 2 GB of memory for each)
  --target NAME  only this and the program cardiograd; may be repeated
                 (default: everything)
  --help         this text
USAGE
}

preset=
jobs=
targets=()
while (($#)); do
  case $1 in
    --jobs)
      jobs=$(option_count "$@") || exit $?
      shift
      ;;
    --target)
      if ((!${#targets[@]})); then targets=(--target cardiograd); fi
      targets+=("$(option_value "$@")") || exit $?
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*) usage_error "unknown option '$1'" ;;
    *)
      [[ -z $preset ]] || usage_error "one preset at a time: '$preset' or '$1'"
      preset=$1
      ;;
  esac
  shift
done
preset=${preset:-release}

cd "$project_root"
for program in cmake ninja; do
  command -v "$program" >/dev/null || fail "$program is not installed: run tools/install_deps.sh"
done
grep -Eq "\"name\": \"$preset\", \"inherits\"" CMakePresets.json ||
  usage_error "there is no preset '$preset'"

# One job a core, as far as memory goes: the machine's, or less in a container.
default_jobs() {
  local cores memory limit
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { printf "%d", $2 / 1024 }' /proc/meminfo 2>/dev/null || true)
  memory=${memory:-2048}
  if limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null) && [[ $limit =~ ^[0-9]+$ ]]; then
    limit=$((limit / 1024 / 1024))
    if ((limit < memory)); then memory=$limit; fi
  fi
  local most=$((memory / 2048))
  if ((most < 1)); then most=1; fi
  if ((cores < most)); then most=$cores; fi
  printf '%d\n' "$most"
}
jobs=${jobs:-$(default_jobs)}

folder=build/$preset
mkdir -p "$folder"
# Lets checkouts in different folders share what ccache holds.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$project_root} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR:-1}

if ! cmake --preset "$preset" >"$folder/configure.log" 2>&1; then
  cat "$folder/configure.log" >&2
  fail "configuring $preset failed (see above): if a package is missing, run tools/install_deps.sh;" \
    "if $folder belongs to another checkout, remove it"
fi
say "building $preset in $folder with $jobs jobs"
cmake --build --preset "$preset" --parallel "$jobs" "${targets[@]}" ||
  fail "building $preset failed: the compiler's message is above"
backends=$("$folder/cardiograd" info) || fail "the built program $folder/cardiograd does not run"
say "backends: ${backends#cardiograd *: }"
