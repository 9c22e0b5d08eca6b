"""The side of the nodes that talks to ComfyUI."""
