#!/usr/bin/env bash
# Installs what tests need of the system and npm does not have. Only as root on Debian; elsewhere the
# tests that need it are counted and named as skipped.
set -euo pipefail

packages=(restic borgbackup zstd util-linux acl attr e2fsprogs time jq fuse3 rsync cadaver rclone curl)

# In containers the device is often there, but closed to ordinary users.
if [ "$(id -u)" -eq 0 ] && [ -c /dev/fuse ]; then
  chmod 0666 /dev/fuse || echo "/dev/fuse stays closed to ordinary users"
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "not root on Debian: not installed: ${missing[*]}"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
  echo "could not be installed: ${missing[*]}"
