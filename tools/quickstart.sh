#!/usr/bin/env bash
# From a bare machine to a trained and evaluated model.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/quickstart.sh [--records N] [--epochs N] [--short] [--device DEVICE]
                           [--out DIR] [--preset NAME] [--no-install]

Installs what is missing, builds, makes a synthetic PTB-XL, packs it, trains the
seed's CNN on it, evaluates the model on the test fold, and says where everything
lies. With PTBXL_ROOT set to the folder of the real PTB-XL (the one that holds
ptbxl_database.csv), that is used instead. May be run again: the synthetic
records are kept, and each run gets a folder of its own.

  --records N      synthetic records to make (default 4000)
  --epochs N       epochs to train (default 20; for the real PTB-XL, the config's)
  --short          600 records, 3 epochs: shows that everything works
  --device DEVICE  cpu (default), cuda or cuda:N
  --out DIR        where data and runs go (default: runs/quickstart in the project)
  --preset NAME    the build to use (default: release, with CUDA where a toolkit is found)
  --no-install     take the installed packages as they are
  --help           this text
USAGE
}

started=$SECONDS
records=
epochs=
short=0
device=cpu
out=$project_root/runs/quickstart
preset=release
install=1
while (($#)); do
  case $1 in
    --records)
      records=$(option_count "$@") || exit $?
      shift
      ;;
    --epochs)
      epochs=$(option_count "$@") || exit $?
      shift
      ;;
    --device)
      device=$(option_value "$@") || exit $?
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
    --short) short=1 ;;
    --no-install) install=0 ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done
if ((short)); then
  records=${records:-600}
  epochs=${epochs:-3}
fi

root=${PTBXL_ROOT:-}
if [[ -n $root ]]; then
  [[ -z $records ]] || ((short)) || usage_error "--records is for synthetic data, but PTBXL_ROOT is set"
  [[ -f $root/ptbxl_database.csv ]] ||
    fail "PTBXL_ROOT is $root, where no ptbxl_database.csv is: set it to the folder that holds that file, or unset it to use synthetic records"
  root=$(cd "$root" && pwd)
fi
mkdir -p "$out" || fail "the folder $out cannot be made: name another with --out"
out=$(cd "$out" && pwd)
cd "$project_root"

step_number=0
# step WHAT COMMAND...: runs one step, and says what failed if it does.
step() {
  local what=$1 status=0 begun=$SECONDS
  shift
  step_number=$((step_number + 1))
  say "--- $step_number. $what"
  "$@" || status=$?
  ((status == 0)) || fail "step $step_number ($what) failed: the message above says why"
  say "    ($(duration $((SECONDS - begun))))"
}

trainer=$project_root/build/$preset/trainer
cardiograd=$project_root/build/$preset/cardiograd

if ((install)); then step "install what is missing" tools/install_deps.sh; fi
step "build" tools/build.sh "$preset"
if [[ -n $root ]]; then
  # Another data set is another file.
  packed=$out/ptbxl-$(printf '%s' "$root" | cksum | cut -d ' ' -f 1)-100hz.safetensors
else
  records=${records:-4000}
  epochs=${epochs:-20}
  root=$out/ptbxl-synth-$records
  packed=$root-100hz.safetensors
  if [[ -f $root/ptbxl_database.csv ]]; then
    say "--- keeping the $records synthetic records in $root"
  else
    step "make $records synthetic records" "$cardiograd" synth --out "$root" --records "$records" --rate 100
  fi
fi
step "pack $root" "$cardiograd" prepare --root "$root" --rate 100 --out "$packed"

number=1
while [[ -e $out/run-$number ]]; do number=$((number + 1)); done
run=$out/run-$number
overrides=("data.path=$packed" "run.dir=$run" "device=$device")
if [[ -n $epochs ]]; then overrides+=("train.epochs=$epochs"); fi
step "train the seed's CNN" "$trainer" fit trainer/configs/seed/cnn.toml "${overrides[@]}"
step "evaluate it on the test fold" "$trainer" eval "$run"

auroc=$(sed -n 's/.*"macro_auroc" *: *\([0-9]\.[0-9]\{1,4\}\).*/\1/p' "$run/test.json" | head -n 1)
say "
Done in $(duration $((SECONDS - started))): macro AUROC ${auroc:-unknown} on the test fold.
  the run         $run
  test metrics    $run/test.json
  by epoch        $run/metrics.jsonl
  checkpoints     $run/best and $run/last
  packed records  $packed"
pictures=$(find "$run" -type f \( -name '*.png' -o -name '*.svg' \) | sort | sed 's/^/  picture         /')
if [[ -n $pictures ]]; then say "$pictures"; fi
say "Next:
  build/$preset/trainer eval $run --fold 9
  build/$preset/trainer fit trainer/configs/seed/mmcnn_sum.toml data.path=$packed run.dir=$out/mmcnn_sum
  PTBXL_ROOT=/path/to/ptb-xl tools/quickstart.sh"
