"""Launch a run: path checks, dry run, cost estimate, session and result."""
