"""What a sampling run did: recorded in each call, summarized, written as tables and files."""
