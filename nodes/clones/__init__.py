"""Clones of a MODEL: the state they carry, the network they share, and the devices they are on."""
