"""Other packs' hooks, patches, wrappers and replaced functions in a sampling run."""
