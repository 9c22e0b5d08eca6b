"""Clones of a MODEL: what they carry, how they share one network, on which devices they lie."""
