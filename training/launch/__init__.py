"""Starting a run: its plan, its costs, its session, its result."""
