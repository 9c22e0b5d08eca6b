"""The guidance graph, what a guider call of it evaluates, and the arithmetic that mixes the predictions."""
