"""What other packs put in the place of, or around, what ComfyUI does."""
