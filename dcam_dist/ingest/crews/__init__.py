"""Who does the work of an ingest: processes of this machine, of a running Dask cluster, or of Slurm jobs."""
