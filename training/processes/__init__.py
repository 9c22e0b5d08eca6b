"""Several processes in a run: devices, agreement, a shared disk."""
