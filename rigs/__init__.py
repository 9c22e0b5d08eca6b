"""Rigs for the tests: a way into the host, small models that its real loaders accept, and a server to talk to."""
