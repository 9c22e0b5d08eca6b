"""The guidance graph, the plan that names the predictions of a guider call, and the arithmetic that mixes them."""
