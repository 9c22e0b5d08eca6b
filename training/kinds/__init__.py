"""The kinds of concept that can be trained, and the network of each."""
