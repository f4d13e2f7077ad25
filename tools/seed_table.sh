#!/usr/bin/env bash
# Trains every model of the seed and prints their table.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/seed_table.sh --data PACKED --out DIR [--preset NAME] [--set SECTION.KEY=VALUE]
                           [MODEL ...]

Trains the seed's models (all of them, or those named) on a packed data set with
their configs: on signal and notes, on the signal alone and on the notes alone, as
far as a model reads them. Prints one Markdown table. Runs that lie in DIR already
are not trained again.

  --data PACKED    what cardiograd prepare wrote
  --out DIR        where the runs go
  --preset NAME    the build to use (default: release)
  --set KEY=VALUE  an override for every run, such as train.seed=1; may be repeated
  --help           this text
USAGE
}

data=
out=
preset=release
overrides=()
models=()
while (($#)); do
  case $1 in
    --data)
      data=$(option_value "$@") || exit $?
      shift
      ;;
    --out)
      out=$(option_value "$@") || exit $?
      shift
      ;;
    --preset)
      preset=$(option_value "$@") || exit $?
      shift
      ;;
    --set)
      overrides+=("$(option_value "$@")") || exit $?
      shift
      ;;
    --help)
      usage
      exit 0
      ;;
    -*) usage_error "there is no option $1" ;;
    *) models+=("$1") ;;
  esac
  shift
done
[[ -n $data ]] || usage_error "--data is missing"
[[ -n $out ]] || usage_error "--out is missing"
((${#models[@]})) || models=(cnn rnn mmcnn_cat mmcnn_att mmcnn_sum mmcnn_sum_dropout mmcnn_sum_bn
  mmcnn_sum_att mmrnn transformer)
trainer=$project_root/build/$preset/trainer
[[ -x $trainer ]] || fail "$trainer does not exist: run tools/build.sh first"

mkdir -p "$out"
finished=()
# train CONFIG NAME INPUTS
train() {
  local folder=$out/$2
  finished+=("$folder")
  [[ ! -e $folder/test.json ]] || return 0
  rm -rf "$folder"
  say "=== $2" >&2
  "$trainer" fit "$project_root/trainer/configs/seed/$1.toml" "data.path=$data" "data.inputs=$3" \
    "run.dir=$folder" "${overrides[@]}" >"$out/$2.log"
}

for model in "${models[@]}"; do
  config=$project_root/trainer/configs/seed/$model.toml
  [[ -e $config ]] || fail "there is no $config"
  if grep -q '^inputs = .*"notes"' "$config"; then
    train "$model" "$model" '["signal", "notes"]'
    train "$model" "$model-signal" '["signal"]'
    train "$model" "$model-notes" '["notes"]'
  else
    train "$model" "$model" '["signal"]'
  fi
done
"$project_root/build/$preset/cardiograd" compare --markdown "${finished[@]}"
