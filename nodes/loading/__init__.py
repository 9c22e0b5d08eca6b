"""Concept models and small worlds, from their files to MODEL, CLIP and VAE."""
