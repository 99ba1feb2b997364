"""What a training will need, before it is paid for: memory of a step, what fits, time and disk."""
