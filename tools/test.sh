#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/test.sh [--preset NAME] [--label LABEL]... [--jobs N] [--no-install]

Installs what is missing, builds, runs every test, and names those that were
skipped with the reason.

  --preset NAME   release (default), debug, asan or cuda
  --label LABEL   only the tests with this label (unit, golden, kernel,
                  multiprocess, e2e, gpu); may be repeated
  --jobs N        compile N files at a time (default: what cores and memory allow)
  --no-install    take the installed packages as they are
  --help          this text
USAGE
}

preset=release
labels=()
build_options=()
install=1
while (($#)); do
  case $1 in
    --preset)
      preset=$(option_value "$@") || exit $?
      shift
      ;;
    --label)
      labels+=("$(option_value "$@")") || exit $?
      [[ ${labels[-1]} =~ ^(unit|golden|kernel|multiprocess|e2e|gpu)$ ]] ||
        usage_error "there is no label '${labels[-1]}'"
      build_options+=(--target "${labels[-1]}_programs")
      shift
      ;;
    --jobs)
      build_options+=(--jobs "$(option_count "$@")") || exit $?
      shift
      ;;
    --no-install) install=0 ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done

cd "$project_root"
if ((install)); then tools/install_deps.sh; fi
tools/build.sh "$preset" "${build_options[@]}"

select=()
if ((${#labels[@]})); then
  select=(-L "^($(
    IFS='|'
    printf '%s' "${labels[*]}"
  ))\$")
fi
# Several tests share the cores: an OpenMP thread that waits must not spin on one.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
status=0
ctest --preset "$preset" --parallel "$(nproc)" --no-tests=error "${select[@]}" |
  sed -u '/^ *Start *[0-9]*: /d' || status=$?

# GoogleTest gives the reason on the lines after "FILE:LINE: Skipped"; ctest keeps them in its log.
list_skipped() {
  awk '
    / Test: / { name = $0; sub(/^.* Test: /, "", name); reason = ""; reading = 0 }
    /: Skipped$/ { reading = 1; next }
    /^\[  SKIPPED \]/ { if (!(name in seen)) print "  " name ": " reason; seen[name] = 1; reading = 0 }
    reading && NF { reason = reason (reason == "" ? "" : " ") $0 }
  ' "build/$preset/Testing/Temporary/LastTest.log"
}
skipped=$(list_skipped)
if [[ -n $skipped ]]; then
  say "skipped tests, and why:"
  say "$skipped"
fi
((status == 0)) || fail "tests failed: ctest names them above; one test alone: ctest --preset $preset -R NAME"
