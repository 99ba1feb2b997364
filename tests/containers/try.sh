#!/usr/bin/env bash
# Build what containers/ says where no image can be pulled: on Debian's own Python, with the packages for CPUs in place
# of CUDA's; then run it as any user and without a network. Needs root, buildah, runc and debootstrap, and 10 GB.
#   tests/containers/try.sh DIR [cuda12|cuda13]    DIR: a new folder, for you to remove (with: buildah rm -a; rmi -a)
#   DCAM_WHEELS    a folder of wheels for pip, e.g. the CPU build of torch
set -euo pipefail
dir=${1:?usage: try.sh DIR [cuda12|cuda13]}
set=${2:-cuda13}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for program in buildah runc debootstrap; do
  command -v "$program" >/dev/null || { echo "try.sh: $program is missing; install Debian's buildah, runc, debootstrap" >&2; exit 4; }
done
mkdir -p "$dir/context" "$dir/wheels"
dir=$(cd "$dir" && pwd)
wheels=${DCAM_WHEELS:-$dir/wheels}
certificates=/etc/ssl/certs/ca-certificates.crt
export BUILDAH_RUNTIME=runc # Debian's crun refuses hosts with both versions of control groups

say() { printf 'try.sh: %s\n' "$*"; }

for_cpu() { sed -e "s/gpu-$set,//; s/gpu-cu${set#cuda},//; s/constraints\/$set/constraints\/cpu/; s/$set\.txt/cpu.txt/g" "$1"; }

make_base() { # Debian's Python where python:slim has its own
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-dev,python3-venv bookworm "$dir/root" >"$dir/debootstrap.log"
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$dir/root" / >/dev/null
  buildah run "$container" ln -s python3 /usr/bin/python
  buildah copy --quiet "$container" "$certificates" "$certificates" >/dev/null # a proxy's own among them
  buildah config --env PIP_CERT="$certificates" --env PIP_FIND_LINKS=/wheels "$container"
  buildah commit --quiet "$container" dcam-base >/dev/null
  buildah rm "$container" >/dev/null
}

make_context() { # the checkout, and among it what must never get in
  git ls-files -z | xargs -0 cp --parents -t "$dir/context"
  for_cpu "containers/$set.Dockerfile" >"$dir/context/Dockerfile"
  for_cpu "containers/$set.def" >"$dir/context/definition"
  local secret
  for secret in cohort.private.json dcam_dist/cohort.private.json configs/our_site.yaml runs/dcam/metrics.jsonl \
    dcam_dist/cohort.zarr/A0001/c/0 dcam_dist/scan.dcm .git/config .venv/bin/python; do
    mkdir -p "$dir/context/$(dirname "$secret")"
    echo CANARY-OF-A-PATIENT >"$dir/context/$secret"
  done
}

section() { awk -v wanted="%$1" '/^%/ { inside = $1 == wanted; next } inside' "$dir/context/definition"; }

build_definition() { # its sections one after the other, as Apptainer would
  local container from to root
  container=$(buildah from dcam-base)
  root=$(buildah mount "$container")
  while read -r from to; do
    mkdir -p "$root$(dirname "$to")"
    cp -r "$dir/context/$from" "$root$to"
  done < <(section files | grep -v '^ *#' | grep .)
  section post >"$root/post.sh"
  buildah run --network host --volume "$wheels:/wheels:ro" "$container" sh -e /post.sh
  rm "$root/post.sh"
  mkdir -p "$root/.singularity.d"
  section environment >"$root/.singularity.d/environment.sh"
  section test >"$root/.singularity.d/test.sh"
  buildah run --network none --user 12345:12345 "$container" \
    sh -ec '. /.singularity.d/environment.sh; . /.singularity.d/test.sh; dcam-dist --help >/dev/null'
  look_for_canaries "$root"
  buildah umount "$container" >/dev/null
  buildah rm "$container" >/dev/null
}

look_for_canaries() { # ROOT
  if grep -rls CANARY-OF-A-PATIENT "$1"; then
    echo "try.sh: this must not be in the image" >&2
    exit 1
  fi
}

offline() { # COMMAND… in the image, as a user that it does not know, with no network
  buildah run --network none --user 12345:12345 --volume "$dir/data:/data" --volume "$dir/hosts:/etc/hosts:ro" "$container" -- "$@"
}

say "a base from Debian's packages"
make_base
make_context
say "containers/$set.Dockerfile, for CPUs"
buildah bud --quiet --network host --volume "$wheels:/wheels:ro" --build-arg BASE=localhost/dcam-base -t dcam-try "$dir/context"
container=$(buildah from dcam-try)
echo 127.0.0.1 localhost >"$dir/hosts" # which Docker and Podman write themselves
install -d -o 12345 -g 12345 "$dir/data"
look_for_canaries "$(buildah mount "$container")"
say "its command line, its users and its packages"
offline dcam-dist --help >/dev/null
[ "$(buildah run --network none "$container" -- id -u)" = 10001 ]
offline pip list --format=freeze --exclude pip --exclude setuptools --exclude dcam-dist >"$dir/packages.txt"
while read -r package; do # as the constraints spell it, without the label of a CPU build
  package=$(sed -E 's/\+.*//; s/^([^=]*)/\L\1/; :dash; s/^([^=]*)[_.]/\1-/; t dash' <<<"$package")
  grep -qxF "$package" "$dir/context/constraints/cpu.txt" || { echo "try.sh: not pinned: $package" >&2; exit 1; }
done <"$dir/packages.txt"
say "scans, cohort and a training with torch.compile"
offline dcam-dist phantom scans --cases 12 --format nifti
offline dcam-dist ingest scans/cases.csv --out cohort.zarr --config /opt/dcam-dist/configs/smoke.yaml
offline python -m dcam_dist.launch --standalone --nproc_per_node=2 -m dcam_dist train \
  --config /opt/dcam-dist/configs/smoke.yaml data.cohort=cohort.zarr output=run network.compile=true
offline dcam-dist maps run
say "containers/$set.def, for CPUs"
build_definition
say "done"
