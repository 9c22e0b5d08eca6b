"""One sampling run of a guidance graph in ComfyUI, from the guider to each evaluation."""
