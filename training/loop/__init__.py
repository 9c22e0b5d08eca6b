"""The training loop: one step, what feeds it, and what happens between steps."""
