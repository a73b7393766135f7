#!/usr/bin/env bash
# isolated.sh ROOT RUN DATA COMMAND...: the first process of an engine's own mount and PID namespaces. Whatever the engine
# starts or mounts ends with this process, and a Docker that the machine already has is out of its sight.
set -euo pipefail
root=$1 run=$2 data=$3
shift 3

# overlay cannot lie on overlay, which is what a CI container's own disk is.
if [ "$(stat -f -c %T "$data")" = overlayfs ]; then mount -t tmpfs -o mode=711 tmpfs "$data"; fi

if [ "$root" = / ]; then
  mount -t proc proc /proc
  # dockerd takes a containerd that listens at its usual place for its own.
  for place in /run/containerd /run/docker; do
    if [ -d "$place" ]; then mount -t tmpfs tmpfs "$place"; fi
  done
else
  # dockerd wants its root to be a mount point.
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
