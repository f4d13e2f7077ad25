#!/usr/bin/env bash
# Training speed of two processes with one thread each against one process with one thread.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/scaling.sh [OPTIONS] PACKED_FILE

Trains by turns in one process and in two, one thread each, five times, and
prints the medians in records per second (of the second epoch of each run) and
their ratio. Needs two idle cores, mpirun, and a packed file of some thousand
records (cardiograd synth, cardiograd prepare).

  --model NAME        as in a config (default: cnn)
  --batch-size COUNT  of both processes together (default: 64)
  --turns COUNT       (default: 5)
  --trainer PROGRAM   (default: build/release/trainer)
  --help              this text
USAGE
}

model=cnn batch=64 turns=5 trainer=$project_root/build/release/trainer data=
while (($#)); do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --model) model=$(option_value "$@") || exit $? ;;
    --batch-size) batch=$(option_count "$@") || exit $? ;;
    --turns) turns=$(option_count "$@") || exit $? ;;
    --trainer) trainer=$(realpath "$(option_value "$@")") || exit $? ;;
    -*) usage_error "unknown option '$1'" ;;
    *)
      data=$(realpath "$1")
      shift
      continue
      ;;
  esac
  shift 2
done
[[ -n $data ]] || usage_error "name the packed file to train on"
command -v mpirun >/dev/null || fail "mpirun is not installed: tools/install_deps.sh installs it"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lean_config "$model" >"$work/config.toml"
export OMP_NUM_THREADS=1
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# speed NAME LAUNCHER...: records per second of the last epoch.
speed() {
  local run=$work/$1
  shift
  "$@" "$trainer" fit "$work/config.toml" "data.path=$data" "run.dir=$run" \
    "train.batch_size=$batch" train.epochs=2 --quiet >/dev/null
  logged epoch records_per_second "$run" | tail -1
}

for ((turn = 1; turn <= turns; turn++)); do
  speed "one$turn" env >>"$work/one.txt"
  speed "two$turn" mpirun -np 2 --bind-to core >>"$work/two.txt"
done
one=$(median <"$work/one.txt")
two=$(median <"$work/two.txt")
say "$model, batches of $batch, medians of $turns: one process $one records/s, two $two: $(
  awk -v one="$one" -v two="$two" 'BEGIN { printf "%.2f times", two / one }'
)"
