"""What dev.py is made of. `environment`, `runtime` and `lint` need the standard library alone."""
