#!/usr/bin/env bash
# Makes the root filesystem of a tools image without an image registry: Debian (or Ubuntu) packages
# plus Node from npm. Import the result with
#   npx tsx setup/index.ts --step image --rootfs OUT.tar
#
# Usage: scripts/make-rootfs.sh OUT.tar [NODE_MAJOR]
# Needs: mmdebstrap, npm, and root or a user with subordinate ids.
set -euo pipefail

out=$(realpath -m "${1:?usage: scripts/make-rootfs.sh OUT.tar [NODE_MAJOR]}")
node_major=${2:-22}

# The same list as in container/Dockerfile. libatomic1: newer Node binaries link to it.
packages=(bash ca-certificates curl file git jq less libatomic1 make patch procps python3 python3-pip python3-venv
  ripgrep)

main() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT

  stage_node
  mmdebstrap --variant=minbase --format=tar \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --setup-hook='mkdir -p "$1/etc/apt/apt.conf.d"' \
    --setup-hook="upload $(apt_settings) $guest_apt_settings" \
    "${without_documentation[@]}" \
    --customize-hook="tar-in $work/node.tar /" \
    --customize-hook="$(declare -f clean_up); guest_apt_settings=$guest_apt_settings; clean_up \"\$1\"" \
    --customize-hook='chroot "$1" node --version && chroot "$1" npm --version' \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$work/rootfs.tar" \
    $(apt_sources)
  # Only a complete file ever has the name that was asked for.
  mv "$work/rootfs.tar" "$out"
}

without_documentation=(
  --dpkgopt='path-exclude=/usr/share/man/*'
  --dpkgopt='path-exclude=/usr/share/info/*'
  --dpkgopt='path-exclude=/usr/share/doc/*'
  --dpkgopt='path-include=/usr/share/doc/*/copyright'
  --dpkgopt='path-exclude=/usr/share/locale/*'
)

# Node as npm publishes it, and npm itself, laid out as the official images have them.
stage_node() {
  local arch stage=$work/stage modules=$work/stage/usr/local/lib/node_modules
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) echo "No Node package for $(uname -m)." >&2; exit 1 ;;
  esac
  mkdir -p "$work/pack" "$stage/usr/local/bin" "$modules/npm"
  # `npm pack` asks npm's own configuration which registry to use.
  (cd "$work/pack" && npm pack --silent "node-linux-$arch@$node_major" npm@11 >&2)
  tar -xzf "$work"/pack/node-linux-*.tgz --strip-components=2 -C "$stage/usr/local/bin" package/bin/node
  tar -xzf "$work"/pack/npm-*.tgz --strip-components=1 -C "$modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$stage/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$stage/usr/local/bin/npx"
  chmod 755 "$stage/usr/local/bin/node" "$modules"/npm/bin/*-cli.js
  tar -cf "$work/node.tar" --owner=0 --group=0 -C "$stage" usr
}

guest_apt_settings=/etc/apt/apt.conf.d/00build-machine

# A mirror of this machine may only be reachable with its proxy or CA settings; mmdebstrap's apt
# reads none of them by itself.
apt_settings() {
  apt-config dump | grep -E '^Acquire::' >"$work/apt.conf" || true
  echo "$work/apt.conf"
}

# Where this machine gets its packages, in both formats apt knows; never a mirror of our choice.
apt_sources() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    if [ -s "$file" ]; then echo "$file"; fi
  done
}

# Runs outside of the new tree, with its path as $1.
clean_up() {
  rm -rf "$1/$guest_apt_settings" "$1"/var/log/* "$1"/var/cache/* "$1"/var/lib/apt/lists/* \
    "$1/etc/hostname" "$1/etc/resolv.conf"
  # A mirror's address can carry a user name and password; an image must not.
  find "$1/etc/apt" -name '*.list' -o -name '*.sources' | xargs -r sed -i -E 's#//[^/@ ]*@#//#'
}

main
