"""The trace of a sampling run: recorded in each call, summarized, written as tables and files."""
