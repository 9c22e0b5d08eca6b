"""The trainer: from a folder of images to a concept file that the nodes load. Runs without ComfyUI."""
