"""From a trained state to a concept file and its model card."""
