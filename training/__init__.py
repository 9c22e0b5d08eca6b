"""Concept files on the command line: `python -m training inspect FILE`, `python -m training convert IN OUT`."""
