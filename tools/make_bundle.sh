#!/usr/bin/env bash
# Packs what a GPU machine without internet or package manager needs to check an installation.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/make_bundle.sh BUILD

Makes BUILD/cardiograd-bundle and BUILD/cardiograd-bundle.tar.gz from the build in
the folder BUILD: the programs trainer, cardiograd and gpu_tests, stripped; the
third-party libraries that they load, in lib/, found by a relative run-path; the
scripts of tools/gpu_check.sh; configs. CUDA's own libraries stay out: the driver,
the toolkit or Python's packages on that machine have them. The target "bundle"
builds the programs and calls this:

  cmake --build --preset cuda --target bundle

There, unpacked, tools/gpu_check.sh checks everything.

  --help   this text
USAGE
}

case ${1:-} in
  --help | -h)
    usage
    exit 0
    ;;
  -*) usage_error "unknown option '$1'" ;;
  '') usage_error "name the build's folder" ;;
esac
most_bytes=$((60 * 1000 * 1000))
build=$(cd "$1" && pwd) || fail "there is no folder $1"
bundle=$build/cardiograd-bundle
command -v patchelf >/dev/null || fail "patchelf is not installed: run tools/install_deps.sh"
rm -rf "$bundle" "$bundle.tar.gz"

cmake --install "$build" --component bundle --strip --prefix "$bundle" >/dev/null
programs=("$bundle"/trainer "$bundle"/cardiograd "$bundle"/gpu_tests)

# What every Linux system has, and what belongs to CUDA on the machine that runs the programs.
left_out='^(linux-vdso|ld-linux|lib(c|m|dl|rt|util|pthread|resolv)\.so|lib(cuda|cudart|nccl|cudnn|cublas|nvidia))'
mkdir "$bundle/lib"
ldd "${programs[@]}" | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u |
  while read -r name path; do
    [[ $name =~ $left_out ]] && continue
    cp -L "$path" "$bundle/lib/$name"
  done
chmod -R u+w "$bundle/lib"
strip --strip-unneeded "$bundle"/lib/*
# Some name folders of this machine, which would count before the programs' own.
patchelf --set-rpath "\$ORIGIN" "$bundle"/lib/*

cd "$project_root"
for file in tools/gpu_check.sh tools/common.sh tools/peer/bench_torch.py tests/golden/seed_transformer.py \
  LICENSE; do
  mkdir -p "$bundle/$(dirname "$file")"
  cp "$file" "$bundle/$file"
done
# The folder's own name is a program's here.
mkdir "$bundle/configs"
cp trainer/configs/seed/*.toml "$bundle/configs/"
{
  say "commit   $(git describe --always --dirty 2>/dev/null || echo unknown)"
  say "built    $(date -u '+%Y-%m-%d %H:%M UTC')"
  say "compiler $(c++ --version | head -n 1)"
  nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
  say "nvcc     $([[ -x $nvcc ]] && "$nvcc" --version | tail -n 1 || echo 'none: this build has no CUDA support')"
} >"$bundle/bundle.txt"

tar -C "$build" -czf "$bundle.tar.gz" "$(basename "$bundle")"
size=$(du -sb "$bundle" | cut -f 1)
packed=$(stat -c %s "$bundle.tar.gz")
say "$bundle: $((size / 1000000)) MB; $bundle.tar.gz: $((packed / 1000000)) MB"
((packed <= most_bytes)) || fail "the packed bundle is larger than $((most_bytes / 1000000)) MB: leave something out"
