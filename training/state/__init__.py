"""A run's state, on disk and in memory: checkpoints, averages, the run record."""
