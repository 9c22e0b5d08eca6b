"""The settings of a training run: sections, presets, files and flags."""
