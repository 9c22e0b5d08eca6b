"""Export a trained state as a concept file with a model card."""
