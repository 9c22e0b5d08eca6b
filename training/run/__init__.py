"""The training run: settings, one optimization step, averages of the weights, checkpoints and the loop."""
