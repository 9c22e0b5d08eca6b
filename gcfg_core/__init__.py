"""Generalized Classifier-Free Guidance (arXiv 2312.08195) in pure torch: graph, plan, arithmetic, concept files."""

__version__ = "0.1.0"
