"""Measure generated pictures against real pictures: distances, precision and recall, memorisation."""
