"""Small worlds: a base model, its word list, text encoder and pixel latents in one folder."""
