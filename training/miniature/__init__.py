"""The paper's experiment in miniature: drawn faces, small models, judges (arXiv 2312.08195 on a laptop)."""
