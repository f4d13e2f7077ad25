#!/usr/bin/env bash
# Checks the sources' format and, if asked, looks for faults with clang-tidy.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/lint.sh [--tidy] [--fix] [FILE...]

Checks that the sources are formatted as .clang-format says. FILEs: only these.

  --tidy   also run clang-tidy on the .cpp files, as build/release compiles them
  --fix    format the files instead of only naming what differs
  --help   this text
USAGE
}

tidy=0
format=(--dry-run -Werror)
files=()
while (($#)); do
  case $1 in
    --tidy) tidy=1 ;;
    --fix) format=(-i) ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*) usage_error "unknown option '$1'" ;;
    *) files+=("$(realpath "$1")") ;;
  esac
  shift
done

cd "$project_root"
command -v clang-format >/dev/null || fail "clang-format is not installed: run tools/install_deps.sh --dev"
if ((${#files[@]} == 0)); then
  mapfile -t files < <(find kernels nn data models trainer tools tests -type f \
    \( -name '*.cpp' -o -name '*.h' -o -name '*.inl' -o -name '*.cu' -o -name '*.cuh' \) | sort)
fi
clang-format "${format[@]}" "${files[@]}" ||
  fail "the files named above are not formatted: run tools/lint.sh --fix"
say "formatted as .clang-format says: ${#files[@]} files"

if ((tidy)); then
  command -v clang-tidy >/dev/null || fail "clang-tidy is not installed: run tools/install_deps.sh --dev"
  [[ -f build/release/compile_commands.json ]] || fail "clang-tidy needs a build: run tools/build.sh"
  mapfile -t sources < <(printf '%s\n' "${files[@]}" | grep '\.cpp$' || true)
  # Flags of g++ alone are no finding. A file that this build leaves out has no command.
  printf '%s\0' "${sources[@]}" |
    xargs -0 -P "$(nproc)" -n 1 clang-tidy -p build/release --quiet --extra-arg=-Wno-unknown-warning-option ||
    fail "clang-tidy found faults: they are named above"
  say "clang-tidy is content with ${#sources[@]} files"
fi
