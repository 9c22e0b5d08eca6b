"""Rigs for the tests: access to ComfyUI, small models that its real loaders accept, and a client for its server."""
