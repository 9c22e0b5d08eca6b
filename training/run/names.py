"""Names in a run's folder that also those read who need none of the trainer's libraries."""

RECORD = "run.json"
WORLD = "world"  # the folder of a result that is one
