#!/usr/bin/env bash
# isolated.sh ROOT RUN DATA COMMAND...: the first process of an engine's own mount and PID namespaces. Everything that the
# engine starts or mounts ends with this process, and it does not see the machine's own Docker.
set -euo pipefail
root=$1 run=$2 data=$3
shift 3

# overlay does not work on overlay, which is the file system of a CI container.
if [ "$(stat -f -c %T "$data")" = overlayfs ]; then mount -t tmpfs -o mode=711 tmpfs "$data"; fi

if [ "$root" = / ]; then
  mount -t proc proc /proc
  # dockerd would use a containerd that listens at the usual place.
  for place in /run/containerd /run/docker; do
    if [ -d "$place" ]; then mount -t tmpfs tmpfs "$place"; fi
  done
else
  # dockerd needs its root to be a mount point.
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  mount --bind "$run" "$root/mnt"
  mount --bind "$data" "$root/srv"
fi

chroot "$root" "$@" &
# As PID 1 this also reaps the shims that engines leave behind.
wait $!
