#!/usr/bin/env bash
# Checks an installation on a GPU, part by part, and writes what it found.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/gpu_check.sh [--programs DIR] [--out FILE] [--seconds N] [--only PART]...

Runs on a machine with a GPU, from an unpacked bundle (cmake --build --preset cuda
--target bundle) or from a checkout with a build: the tests on the GPU, the kernels
under compute-sanitizer's four tools, the time of each kernel, a short training
against the CPU's losses, and the comparison with PyTorch where Python has it. Each
part writes its result as it ends, so that a run that is cut off keeps what it had.

  --programs DIR  where trainer, cardiograd and gpu_tests are (default: the bundle,
                  or build/cuda, or build/release)
  --out FILE      the report (default: gpu-results.md); logs go beside it
  --seconds N     end within N seconds (default: 470)
  --only PART     machine, tests, sanitizer, kernels, training or pytorch; may be
                  repeated
  --help          this text

Exits with 0 where no part failed, with 1 where one did or there is no GPU that can
be used. A part that the machine lacks something else for says so and does not fail.
USAGE
}

programs=
out=gpu-results.md
seconds=470
only=()
while (($#)); do
  case $1 in
    --programs)
      programs=$(option_value "$@") || exit $?
      shift
      ;;
    --out)
      out=$(option_value "$@") || exit $?
      shift
      ;;
    --seconds)
      seconds=$(option_count "$@") || exit $?
      shift
      ;;
    --only)
      only+=("$(option_value "$@")") || exit $?
      case ${only[-1]} in
        machine | tests | sanitizer | kernels | training | pytorch) ;;
        *) usage_error "'${only[-1]}' is no part" ;;
      esac
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done

for folder in "$programs" "$project_root" "$project_root/build/cuda" "$project_root/build/release"; do
  if [[ -n $folder && -x $folder/gpu_tests ]]; then
    programs=$(cd "$folder" && pwd)
    break
  fi
  [[ -z $folder || $folder != "$programs" ]] || fail "$programs holds no program gpu_tests: name another folder by --programs"
done
[[ -n $programs ]] || fail "no programs were found: build them (cmake --build --preset cuda), or name their folder by --programs"
mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
logs=${out%.md}-logs
mkdir -p "$logs"
configs=$project_root/configs
[[ -d $configs ]] || configs=$project_root/trainer/configs/seed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# ---- CUDA's libraries, where the loader does not look by itself ---------------------------------

python=
for candidate in ${PYTHON:-} python3 python; do
  if command -v "$candidate" >/dev/null; then
    python=$candidate
    break
  fi
done
PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer
find_cuda_libraries() {
  local folder
  for folder in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
    if [[ -d $folder ]]; then say "$folder"; fi
  done
  [[ -n $python ]] || return 0
  "$python" - <<'PYTHON' 2>/dev/null || true
import glob, site, sys
for folder in dict.fromkeys([*sys.path, *site.getsitepackages()]):
    for found in sorted(glob.glob(f"{folder}/nvidia/*/lib")):
        print(found)
PYTHON
}
libraries=$(find_cuda_libraries | paste -sd :)
# Behind what the user has set.
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries

# ---- The report ---------------------------------------------------------------------------------

left() { say $((seconds - SECONDS)); }

wanted() {
  local part
  ((${#only[@]})) || return 0
  for part in "${only[@]}"; do [[ $part != "$1" ]] || return 0; done
  return 1
}

result() { printf '%s\n' "$*" >>"$out"; }

# quote_log LOG LINES: the log's last lines as a block.
quote_log() {
  [[ -s $1 ]] || return 0
  result '```'
  tail -n "$2" "$1" | cut -c 1-300 >>"$out"
  result '```'
}

no_device='no CUDA device can be used|this build has no CUDA support|device "cuda:0" has compute capability'
started=$("$programs/cardiograd" info 2>&1) || fail "the programs do not start on this machine: $started"
# Why no part can run; empty where there is a device.
absent=$(timeout 60 "$programs/gpu_tests" --gtest_filter='CudaBackend.SaysWhich*' 2>&1 | grep -ohE "($no_device)[^;]*" | head -n 1) || true

# run_part NAME LIMIT LINES COMMAND...: runs it, at most LIMIT seconds, and reports.
run_part() {
  local name=$1 limit=$2 lines=$3 log status=0 begin=$SECONDS
  shift 3
  if [[ -n $absent ]]; then
    result "- **$name**: not run: $absent"
    return 0
  fi
  log=$logs/$(tr ' ' '-' <<<"$name").log
  if ((limit > $(left))); then limit=$(left); fi
  if ((limit < 3)); then
    result "- **$name**: not run, the time was up"
    return 0
  fi
  say "$name (at most $limit s)"
  timeout --kill-after 5 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
  local took=$((SECONDS - begin))
  if grep -qE "$no_device" "$log"; then
    result "- **$name**: not run: $(grep -ohE "($no_device)[^;]*" "$log" | head -n 1)"
    return 0
  fi
  case $status in
    0) result "- **$name**: passed in $took s" ;;
    124 | 137) result "- **$name**: cut off after $took s" ;;
    *)
      result "- **$name**: FAILED (exit code $status) after $took s"
      failures=$((failures + 1))
      ;;
  esac
  quote_log "$log" "$lines"
}

lacks() { result "- **$1**: not run: $2"; }

# ---- Parts --------------------------------------------------------------------------------------

describe_machine() {
  result "# What this GPU gave"
  result ""
  result "Written by tools/gpu_check.sh on $(date -u '+%Y-%m-%d %H:%M UTC'); logs in $(basename "$logs")/."
  result ""
  result "## Machine"
  result '```'
  {
    if command -v nvidia-smi >/dev/null; then
      nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>&1 || true
    else
      say "nvidia-smi is not installed"
    fi
    say "$(uname -srm), $(nproc) processors"
    if [[ -f $project_root/bundle.txt ]]; then
      cat "$project_root/bundle.txt"
    else
      say "commit   $(git -C "$project_root" describe --always --dirty 2>/dev/null || echo unknown)"
    fi
    "$programs/cardiograd" info 2>&1 || say "cardiograd does not start"
    if [[ -n $python ]]; then
      "$python" -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda)' 2>&1 | tail -n 1 || true
    fi
  } | cut -c 1-300 >>"$out"
  result '```'
}

run_tests() {
  result ""
  result "## Tests on the GPU"
  run_part "tests" 90 6 "$programs/gpu_tests" --gtest_brief=1 --gtest_filter='-*CudaPlans*'
  # Apart, because the libraries take their time to build plans.
  run_part "plans of the libraries" 90 6 "$programs/gpu_tests" --gtest_brief=1 --gtest_filter='*CudaPlans*'
}

# Small cases: a tool makes a kernel tens of times slower.
sanitize() {
  local tool
  result ""
  result "## compute-sanitizer"
  for tool in memcheck racecheck initcheck synccheck; do
    if ! command -v compute-sanitizer >/dev/null; then
      lacks "$tool" "compute-sanitizer is not installed"
      continue
    fi
    run_part "$tool" 35 4 compute-sanitizer --tool "$tool" --error-exitcode 9 "$programs/gpu_tests" \
      --gtest_brief=1 --gtest_filter='*CudaOperations*:CudaBackend*'
  done
}

time_kernels() {
  result ""
  result "## Time of each kernel"
  run_part "kernels" 70 150 "$programs/cardiograd" bench --kernels
}

losses_of() {
  sed -nE 's/.*"event":"step".*"loss":([-+.0-9e]+).*/\1/p;t;s/.*"loss":([-+.0-9e]+).*"event":"step".*/\1/p' "$1/metrics.jsonl"
}

# Both runs draw the same batches from the same weights.
compare_training() {
  local device options=(run.plots=false run.tensorboard=false train.epochs=4 train.batch_size=32)
  "$programs/cardiograd" synth --out "$work/ptbxl" --records 1000 --rate 100 >/dev/null
  "$programs/cardiograd" prepare --root "$work/ptbxl" --rate 100 --out "$work/packed.safetensors" >/dev/null
  for device in cuda cpu; do
    "$programs/trainer" fit "$configs/cnn.toml" --quiet \
      "data.path=$work/packed.safetensors" "run.dir=$work/$device" "device=$device" "${options[@]}"
    losses_of "$work/$device" >"$work/$device.losses"
  done
  paste "$work/cuda.losses" "$work/cpu.losses" | head -n 100 | awk '
    NF == 2 { steps++; d = ($1 - $2) / $2; if (d < 0) d = -d; if (d > most) most = d }
    END {
      printf "%d steps: the losses differ from the CPU by at most %.2e of their value\n", steps, most
      exit !(steps > 0 && most < 1e-3)
    }'
}

train_models() {
  local model precision
  result ""
  result "## Training"
  export -f compare_training losses_of
  export programs configs work
  run_part "losses against the CPU" 60 3 bash -euo pipefail -c compare_training
  for model in cnn mmcnn_cat mmrnn transformer; do
    for precision in fp32 tf32 bf16; do
      run_part "training $model $precision" 12 2 "$programs/cardiograd" bench --device cuda --model "$model" \
        --precision "$precision" --batch 256 --steps 20
    done
  done
  run_part "training cnn bf16, operation by operation" 12 2 "$programs/cardiograd" bench --device cuda --model cnn \
    --precision bf16 --batch 256 --steps 20 --eager
}

compare_with_pytorch() {
  result ""
  result "## Against PyTorch"
  if [[ -z $python ]] || ! "$python" -c 'import torch' 2>/dev/null; then
    lacks "pytorch" "Python with PyTorch is not installed"
    return 0
  fi
  run_part "eager and graph" 60 20 "$python" -u "$project_root/tools/peer/bench_torch.py" "$programs/cardiograd" \
    --device cuda --precision fp32 bf16 --modes eager graph --models cnn mmrnn mmcnn_cat --rounds 3 --steps 50
  run_part "torch.compile" 100 20 "$python" -u "$project_root/tools/peer/bench_torch.py" "$programs/cardiograd" \
    --device cuda --precision fp32 --modes compile --models cnn mmrnn --rounds 3 --steps 50
}

: >"$out"
describe_machine
if wanted tests; then run_tests; fi
if wanted training; then train_models; fi
if wanted kernels; then time_kernels; fi
if wanted sanitizer; then sanitize; fi
if wanted pytorch; then compare_with_pytorch; fi
result ""
result "Ended after $(duration "$SECONDS"); $failures part(s) failed."
say "the report is $out"
[[ -z $absent ]] || fail "nothing was checked: $absent"
((failures == 0))
