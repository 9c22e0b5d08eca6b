"""Train the VAE of a small world on pictures, and measure what it loses."""
