"""The state of a run, on disk and in memory: checkpoints, averages, records."""
