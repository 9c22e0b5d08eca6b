"""From a folder of pictures to batches of latents: scan, buckets, latent cache, order, dataset."""
