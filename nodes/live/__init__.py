"""Formula, cost and weight curve of a graph while it is being edited, shown on the nodes before anything runs."""
