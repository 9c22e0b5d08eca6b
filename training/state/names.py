"""File names in a run's folder, importable without the trainer's libraries."""

RECORD, METRICS = "run.json", "metrics.jsonl"
VALIDATION = "validation/"  # prefix of the losses on held-out pictures
WORLD = "world"  # folder of the result, if that is a world
