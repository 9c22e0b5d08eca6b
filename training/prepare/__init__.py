"""From a base UNet to a null-text start: each cross-attention's constant measured, and how far off it is."""
