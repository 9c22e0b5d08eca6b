"""Measuring generated pictures against real ones: distances, precision and recall, memorisation."""
