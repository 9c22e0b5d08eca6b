"""Prepare a null-text start from a base UNet: measure each cross-attention's constant, and the error it causes."""
