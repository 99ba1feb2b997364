#!/usr/bin/env bash
# Ingest with Dask workers in Slurm jobs, from a login node; arguments go to `dcam-dist ingest`.
#   launch_scripts/ingest_dask.sh configs/sites/SITE.yaml scans.csv --out cohort.zarr
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
site=${1:?usage: ingest_dask.sh SITE.yaml SOURCE... --out COHORT}
shift
exec .venv/bin/dcam-dist ingest "$@" --slurm "$site"
