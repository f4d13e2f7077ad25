#!/usr/bin/env bash
# Prints what the compiler says of every CUDA kernel: registers, shared memory, spills.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/kernel_report.sh [FILE.cu...]

Compiles the given kernel sources (default: all of kernels/cuda) for Hopper
(sm_90a) and prints a Markdown table, a row an instance of a kernel: its
registers, bytes of shared memory, and bytes spilled. The numbers of
docs/kernels.md come from here. Needs nvcc, on the PATH or in /usr/local/cuda.

  --help   this text
USAGE
}

case ${1:-} in
  --help | -h)
    usage
    exit 0
    ;;
  -*) usage_error "unknown option '$1'" ;;
esac

cd "$project_root"
PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || fail "nvcc is not installed: put CUDA 13's bin folder on the PATH"
sources=("$@")
if ((${#sources[@]} == 0)); then sources=(kernels/cuda/*.cu); fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# ptxas names a kernel, then gives its stack and spills on one line and its registers on the next.
# One row an instance: the template's arguments stay in the name, without namespaces.
rows_of() {
  c++filt | awk -v source="$1" '
    /Compiling entry function/ {
      name = $0
      sub(/^[^\x27]*\x27/, "", name); sub(/\x27 for \x27.*/, "", name)
      sub(/^void /, "", name)
      gsub(/\(anonymous namespace\)::|cardiograd::|cuda::|_GLOBAL__N__[0-9a-f_]+[A-Za-z0-9_]*::/, "", name)
      sub(/\(.*/, "", name)
    }
    /bytes stack frame/ { spills = $5 + $9 }
    /Used [0-9]+ registers/ {
      registers = $0; sub(/.*Used /, "", registers); sub(/ registers.*/, "", registers)
      shared = 0
      if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
      printf "| %s | `%s` | %d | %d | %d |\n", source, name, registers, shared, spills
    }'
}

say "| file | kernel | registers | shared bytes | spilled bytes |"
say "|---|---|---|---|---|"
for source in "${sources[@]}"; do
  if ! nvcc -std=c++20 -O3 -arch=sm_90a --expt-relaxed-constexpr -I. -Xptxas -v -c "$source" \
    -o "$folder/object.o" >"$folder/log" 2>&1; then
    cat "$folder/log" >&2
    fail "nvcc does not compile $source: its message is above"
  fi
  rows_of "$(basename "$source")" <"$folder/log"
done
