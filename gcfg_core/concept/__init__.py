"""Concept models and their files: tensors, metadata, network layouts, LoRAs."""
