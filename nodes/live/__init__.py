"""What a graph means and costs while it is being edited: the answers that the nodes show before anything runs."""
