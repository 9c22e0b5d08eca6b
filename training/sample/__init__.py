"""Sample guidance graphs outside ComfyUI, in denoised space, with diffusers' samplers."""
