"""What a cluster is told and asked: batch jobs, checks before work starts, the state of a run, the health of a machine."""
