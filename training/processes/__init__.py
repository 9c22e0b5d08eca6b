"""Several processes: who leads, what they agree on, what they share."""
