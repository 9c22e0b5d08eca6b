"""Small bases, pictures and helpers for the trainer's tests."""
