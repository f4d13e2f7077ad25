#!/usr/bin/env bash
# Training speed of two processes with one thread each against one process with one thread.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/scaling.sh [OPTIONS] PACKED_FILE

Trains by turns in one process, in two, and in two that know nothing of each
other and have half of the batch each (what there is to be had), one thread
each, five times, and prints the medians in records per second (of each run the
median of its epochs after the first) and their ratios to one process. Needs two idle cores,
mpirun, and a packed file of some thousand records (cardiograd synth,
cardiograd prepare).

  --model NAME        as in a config (default: cnn)
  --batch-size COUNT  of both processes together (default: 64)
  --turns COUNT       (default: 5)
  --epochs COUNT      of each run, at least 2 (default: 8)
  --trainer PROGRAM   (default: build/release/trainer)
  --help              this text
USAGE
}

model=cnn batch=64 turns=5 epochs=8 trainer=$project_root/build/release/trainer data=
while (($#)); do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --model) model=$(option_value "$@") || exit $? ;;
    --batch-size) batch=$(option_count "$@") || exit $? ;;
    --turns) turns=$(option_count "$@") || exit $? ;;
    --epochs) epochs=$(option_count "$@") || exit $? ;;
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
((epochs >= 2)) || usage_error "--epochs must be at least 2: the first one is not measured"
command -v mpirun >/dev/null || fail "mpirun is not installed: tools/install_deps.sh installs it"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lean_config "$model" >"$work/config.toml"
export OMP_NUM_THREADS=1
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# speed NAME BATCH LAUNCHER...: records per second, the median of the epochs after the first.
speed() {
  local run=$work/$1 size=$2
  shift 2
  "$@" "$trainer" fit "$work/config.toml" "data.path=$data" "run.dir=$run" \
    "train.batch_size=$size" "train.epochs=$epochs" run.checkpoint_epochs=1000000 --quiet >/dev/null
  logged epoch records_per_second "$run" | tail -n +2 | median
}

for ((turn = 1; turn <= turns; turn++)); do
  speed "one$turn" "$batch" env >>"$work/one.txt"
  speed "two$turn" "$batch" mpirun -np 2 --bind-to core >>"$work/two.txt"
  speed "left$turn" $((batch / 2)) taskset -c 0 >"$work/left.txt" &
  speed "right$turn" $((batch / 2)) taskset -c 1 >"$work/right.txt"
  wait
  cat "$work/left.txt" "$work/right.txt" | awk '{ sum += $1 } END { print sum }' >>"$work/apart.txt"
done
one=$(median <"$work/one.txt")
two=$(median <"$work/two.txt")
apart=$(median <"$work/apart.txt")
say "$model, batches of $batch, medians of $turns, records/s: $(
  awk -v one="$one" -v two="$two" -v apart="$apart" \
    'BEGIN { printf "one process %.0f, two %.0f (%.2f times), two apart %.0f (%.2f times)", one, two, two / one, apart, apart / one }'
)"
