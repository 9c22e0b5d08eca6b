"""The parts of dev.py. `environment`, `runtime` and `lint` need only the standard library."""
