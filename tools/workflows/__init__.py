"""The example workflows: every graph defined once in Python, written as interface JSON and as API JSON."""
