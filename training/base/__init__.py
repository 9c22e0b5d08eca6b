"""Base models that training starts from: a diffusers folder, a single-file checkpoint, or a small world of our own."""
