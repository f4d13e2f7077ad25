#!/usr/bin/env bash
# What checkpoints, logs and averaged weights cost of a training step.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/overhead.sh [OPTIONS] PACKED_FILE

Trains by turns with nothing beside the steps, with averaged weights and logs (a
line a step, TensorBoard's files, the console), and with a checkpoint at the end
of each epoch as well. Prints the medians of a step's time and of what the
checkpoints of an epoch add: the waiting for their copies, and what the epoch
loses while they are written. The first epoch of each run does not count. Wants
an otherwise idle machine. The checkpoints' share falls with an epoch's length:
it is given for the file's and for PTB-XL's epochs.

  --model NAME        as in a config (default: cnn)
  --batch-size COUNT  (default: 64)
  --epochs COUNT      of each run, at least 2 (default: 6)
  --turns COUNT       (default: 5)
  --trainer PROGRAM   (default: build/release/trainer)
  --help              this text
USAGE
}

model=cnn batch=64 epochs=6 turns=5 trainer=$project_root/build/release/trainer data=
while (($#)); do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --model) model=$(option_value "$@") || exit $? ;;
    --batch-size) batch=$(option_count "$@") || exit $? ;;
    --epochs) epochs=$(option_count "$@") || exit $? ;;
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
((epochs >= 2)) || usage_error "--epochs needs a whole number of at least 2, not '$epochs'"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lean_config "$model" >"$work/config.toml"

# train NAME KEY=VALUE...: into the folder NAME, which must be on a disk for checkpoints to cost
# what they do in earnest.
train() {
  local run=$work/$1
  shift
  "$trainer" fit "$work/config.toml" "data.path=$data" "run.dir=$run" "train.batch_size=$batch" \
    "train.epochs=$epochs" "$@" >/dev/null 2>"$work/console.txt" ||
    fail "$(tail -1 "$work/console.txt")"
}


records=
logs=(train.ema=0.99 run.log_every=1 run.tensorboard=true)
for ((turn = 1; turn <= turns; turn++)); do
  train bare --quiet run.checkpoint_epochs=1000000
  train logs run.checkpoint_epochs=1000000 "${logs[@]}"
  train full "${logs[@]}"
  records=$(logged start train_records "$work/full")
  for run in bare logs full; do
    logged epoch records_per_second "$work/$run" | tail -n +2 | awk '{ print 1 / $1 }' >>"$work/$run.txt"
  done
  logged epoch save_seconds "$work/full" | tail -n +2 >>"$work/save.txt"
  rm -r "$work/bare" "$work/logs" "$work/full"
done

awk -v bare="$(median <"$work/bare.txt")" -v logs="$(median <"$work/logs.txt")" \
  -v full="$(median <"$work/full.txt")" -v waited="$(median <"$work/save.txt")" \
  -v records="$records" -v batch="$batch" -v title="$model, batches of $batch, medians of $turns turns" '
  function together(epoch) { return 100 * (logs + saved / epoch - bare) / bare }
  BEGIN {
    saved = waited + records * (full - logs)
    printf "%s: a step takes %.2f ms, with averages and logs %.2f ms (%+.1f %%); ", title,
      1e3 * batch * bare, 1e3 * batch * logs, 100 * (logs - bare) / bare
    printf "the checkpoints of an epoch add %.0f ms, %.0f of them waiting\n", 1e3 * saved, 1e3 * waited
    printf "all together: %+.1f %% with epochs of %d records, %+.1f %% with PTB-XL'"'"'s of 17418\n",
      together(records), records, together(17418)
  }'
