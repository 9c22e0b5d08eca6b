"""Names in a run's folder that also those read who need none of the trainer's libraries."""

RECORD, METRICS = "run.json", "metrics.jsonl"
VALIDATION = "validation/"  # begins the names of losses on held-out pictures
WORLD = "world"  # the folder of a result that is one
