#!/usr/bin/env bash
# Proves the two commands, tools/test.sh and tools/quickstart.sh, in a bare root of another system.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'USAGE'
usage: tools/test_fresh.sh 12|13|24.04 [--sudo] [--no-shared] [--ccache DIR] [--keep]

Makes a bare Debian 12, Debian 13 or Ubuntu 24.04 root with debootstrap, copies the
committed tree into it, and runs tools/test.sh and tools/quickstart.sh --short there
by chroot (CPU build). Needs root, a mirror, and about 3 GB under TMPDIR (/tmp).
The root gets this machine's apt settings (mirror, proxy, certificates), and the
folder ../shared, where there is one, read-only.

  --sudo       run the commands as a user who has sudo, instead of as root
  --no-shared  leave ../shared out: tests that need it are skipped
  --ccache DIR keep the compiler's cache in DIR, so that a second proof compiles less
  --keep       leave the root in place and say where it is
  --help       this text
USAGE
}

version=
user=root
with_shared=1
keep=0
ccache=
arguments=("$@")
while (($#)); do
  case $1 in
    --sudo) user=builder ;;
    --no-shared) with_shared=0 ;;
    --ccache)
      ccache=$(option_value "$@") || exit $?
      shift
      ;;
    --keep) keep=1 ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*) usage_error "unknown option '$1'" ;;
    *)
      [[ -z $version ]] || usage_error "one system at a time: '$version' or '$1'"
      version=$1
      ;;
  esac
  shift
done
case $version in
  12) suite=bookworm vendor=Debian ;;
  13) suite=trixie vendor=Debian ;;
  24.04) suite=noble vendor=Ubuntu ;;
  '') usage_error "name the system: 12, 13 or 24.04" ;;
  *) usage_error "'$version' is not a system that cardiograd is tested on: 12, 13 or 24.04" ;;
esac
((EUID == 0)) || fail "debootstrap and chroot need root: run this as root or through sudo"

# In a mount namespace of its own, whatever is mounted below ends with this script, however it ends.
if [[ -z ${CARDIOGRAD_FRESH_NAMESPACE:-} ]] && unshare --mount true 2>/dev/null; then
  export CARDIOGRAD_FRESH_NAMESPACE=1
  exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "${arguments[@]}"
fi

if [[ -n $ccache ]]; then
  mkdir -p "$ccache" || fail "the folder $ccache cannot be made: name another with --ccache"
  ccache=$(cd "$ccache" && pwd)
fi
cd "$project_root"
git rev-parse --verify -q HEAD >/dev/null || fail "$project_root is not a git checkout: the committed tree is what is tested"
if [[ -n $(git status --porcelain) ]]; then
  warn "the working tree differs from HEAD; HEAD is what is tested"
fi

install_tool() {
  command -v apt-get >/dev/null || fail "$1 is not installed, and this system has no apt: install it with its own package manager"
  say "installing $1"
  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$1"; } \
    </dev/null >/dev/null || return 1
}
if ! command -v debootstrap >/dev/null; then
  install_tool debootstrap || fail "debootstrap could not be installed: check the network"
fi
if [[ $vendor == Ubuntu && ! -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ]]; then
  install_tool ubuntu-keyring 2>/dev/null ||
    warn "no package of this system holds Ubuntu's archive keys: the base of the root is taken unverified"
fi

base=$(mktemp -d "${TMPDIR:-/tmp}/cardiograd-fresh-$version.XXXXXX")
root=$base/root
mounts=()
# shellcheck disable=SC2317  # reached by the trap
cleanup() {
  local status=$? index
  trap - EXIT
  for ((index = ${#mounts[@]} - 1; index >= 0; index--)); do
    umount "${mounts[index]}" || umount -l "${mounts[index]}" || status=1
  done
  if ((keep)); then
    say "the root is kept in $root"
  else
    # Never across a mount that could not be undone.
    rm -rf --one-file-system "$base"
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The mirror that this machine takes its own packages from, where it is of the same vendor.
own_mirror() {
  local id codename
  # shellcheck source=/dev/null
  read -r id codename < <(source /etc/os-release && printf '%s %s\n' "${ID:-}" "${VERSION_CODENAME:-}") || true
  [[ $id == "${vendor,,}" && -n $codename ]] || return 0
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(RELEASE) $(SITE)' 'Identifier: Packages' 'Component: main' 2>/dev/null |
    awk -v release="$codename" '$1 == release { print $2; exit }' || true
}

# What of apt's settings it takes to reach a mirror from here, in apt's own format.
network_settings() {
  command -v apt-config >/dev/null || return 0
  apt-config dump | grep -E '^Acquire::((https?|ftp)::|Retries|Check-Date|Check-Valid-Until)' || true
}

setting() { network_settings | sed -n "s|^$1 \"\\(.*\\)\";\$|\\1|p" | head -n 1; }

# debootstrap fetches with wget, which reads its proxies from the environment.
http_proxy=${http_proxy:-$(setting Acquire::http::Proxy)}
https_proxy=${https_proxy:-$(setting Acquire::https::Proxy)}
proxies=()
if [[ -n $http_proxy && $http_proxy != DIRECT ]]; then proxies+=("http_proxy=$http_proxy"); fi
if [[ -n $https_proxy && $https_proxy != DIRECT ]]; then proxies+=("https_proxy=$https_proxy"); fi
export -n http_proxy https_proxy

make_root() {
  local mirror scripts=/usr/share/debootstrap/scripts recipe=()
  mirror=${MIRROR:-$(own_mirror)}
  if [[ ! -e $scripts/$suite ]]; then
    # A debootstrap that is older than the suite makes it as the vendor's suites before it.
    recipe=("$(if [[ $vendor == Ubuntu ]]; then echo gutsy; else echo sid; fi)")
  fi
  env "${proxies[@]}" debootstrap --variant=minbase "$suite" "$root" "$mirror" "${recipe[@]}" \
    >"$base/debootstrap.log" 2>&1 && return
  tail -n 5 "$base/debootstrap.log" "$root/debootstrap/debootstrap.log" 2>/dev/null >&2 || true
  fail "no root of $vendor $version could be made (debootstrap's last lines are above): is a mirror of $vendor reachable from here? MIRROR=URL names one"
}

# Copies FILE, if it is there, to the same place in the root.
copy_in() {
  [[ -f $1 ]] || return 0
  install -D -m 644 "$1" "$root$1"
}

# Gives the root the way to the network that this machine has.
connect_root() {
  local file
  copy_in /etc/resolv.conf
  copy_in /etc/hosts
  # Certificates of this machine's own; a package ca-certificates installed later keeps them.
  copy_in /etc/ssl/certs/ca-certificates.crt
  for file in /usr/local/share/ca-certificates/*.crt; do copy_in "$file"; done
  copy_in "$(setting Acquire::https::CaInfo)"
  network_settings >"$root/etc/apt/apt.conf.d/90host-network"
}

# mount_in OPTIONS... TARGET: mounts below the root, and remembers it for the way out.
mount_in() {
  local target=${!#}
  mkdir -p "$target"
  mount "$@" || fail "mounting $target failed: this needs the right to mount (CAP_SYS_ADMIN)"
  mounts+=("$target")
}

copy_tree() {
  mkdir -p "$root/src/cardiograd"
  git archive HEAD | tar -x -C "$root/src/cardiograd"
  if ((with_shared)) && [[ -d $project_root/../shared ]]; then
    mount_in --bind "$(realpath "$project_root/../shared")" "$root/src/shared"
    mount -o remount,bind,ro "$root/src/shared"
  fi
  if [[ -n $ccache ]]; then mount_in --bind "$ccache" "$root/var/cache/ccache"; fi
}

# inside COMMAND...: runs a command in the root with a clean environment.
inside() {
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive ${ccache:+CCACHE_DIR=/var/cache/ccache} "${proxies[@]}" chroot "$root" "$@" </dev/null
}

# Runs one of the two commands in the copied tree, as the user that was asked for.
prove() {
  local begun=$SECONDS status=0
  say "=== $vendor $version: $*"
  if [[ $user == root ]]; then
    inside bash -c 'cd /src/cardiograd && exec "$@"' bash "$@" || status=$?
  else
    inside su "$user" -s /bin/bash -c "cd /src/cardiograd && $*" || status=$?
  fi
  if ((status)); then
    results+=("FAILED  $* ($(duration $((SECONDS - begun))))")
    failed=1
  else
    results+=("passed  $* ($(duration $((SECONDS - begun))))")
  fi
}

begun=$SECONDS
say "making a bare root of $vendor $version in $root"
make_root
connect_root
mount_in -t proc proc "$root/proc"
# Pseudo-terminals, which the tests of the progress bar open.
mount_in -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
copy_tree
if [[ $user != root ]]; then
  { inside apt-get -q update && inside apt-get -q install -y --no-install-recommends sudo; } >/dev/null ||
    fail "sudo could not be installed in the root"
  inside useradd --create-home "$user"
  printf '%s ALL=(ALL) NOPASSWD: ALL\n' "$user" >"$root/etc/sudoers.d/$user"
  inside chown -R "$user:" /src/cardiograd ${ccache:+/var/cache/ccache}
fi
say "the root is ready ($(duration $((SECONDS - begun))))"

results=()
failed=0
prove tools/test.sh
prove tools/quickstart.sh --short
say "=== $vendor $version, as $user:"
printf '%s\n' "${results[@]}"
exit "$failed"
