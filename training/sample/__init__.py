"""Sampling outside ComfyUI: the same guidance graphs, in denoised space, with diffusers' samplers."""
