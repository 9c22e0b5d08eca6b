"""Pictures made with matplotlib, which only these modules import. Nodes load them through ``library``, except
``choices``, which does not need matplotlib."""
