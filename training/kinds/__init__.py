"""The kinds of concept that can be trained, each with its network."""
