"""Pictures by matplotlib, which only these modules import: nodes reach them through ``runtime.drawing_library``, except
for ``choices``, which needs none."""
