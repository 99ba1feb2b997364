"""What a cluster is told and asked: batch jobs, checks before work, the state of a run, the health of a machine."""
