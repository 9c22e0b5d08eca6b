"""The training loop: steps, the batches that feed them, and the work between steps."""
