# Sourced by the scripts beside it: the project's root, messages, options.
# shellcheck shell=bash

# Used by the scripts that source this file.
# shellcheck disable=SC2034
project_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script_name=$(basename "$0")

say() { printf '%s\n' "$*"; }

warn() { printf '%s: %s\n' "$script_name" "$*" >&2; }

fail() {
  warn "$*"
  exit 1
}

# Wants a function `usage` in the script that sources this file.
usage_error() {
  warn "$*"
  usage >&2
  exit 2
}

# option_value OPTION VALUE...: the value that must follow OPTION on the command line.
option_value() {
  [[ $# -ge 2 && -n $2 ]] || usage_error "$1 needs a value"
  printf '%s\n' "$2"
}

# The same, for a whole number of at least 1.
option_count() {
  local value
  value=$(option_value "$@") || exit $?
  [[ $value =~ ^[1-9][0-9]{0,8}$ ]] || usage_error "$1 needs a whole number of at least 1, not '$value'"
  printf '%s\n' "$value"
}

# The median of the numbers on standard input, a line each.
median() { sort -g | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# lean_config MODEL: a trainer's configuration that neither draws nor writes a line a step.
lean_config() {
  printf '[model]\nname = "%s"\n[run]\nplots = false\ntensorboard = false\nlog_every = 1000000\n' "$1"
}

# logged EVENT KEY RUN: the number under KEY in each line of that kind of a run's metrics.jsonl.
logged() {
  grep "\"event\":\"$1\"" "$3/metrics.jsonl" | sed "s/.*\"$2\":\([0-9.e+-]*\).*/\1/"
}

# A duration in seconds, as people read it.
duration() {
  if (($1 < 60)); then
    printf '%d s' "$1"
  else
    printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
  fi
}
