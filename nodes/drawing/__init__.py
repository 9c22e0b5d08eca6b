"""Pictures by matplotlib, which only these modules import; nodes reach them through ``library``, which needs none."""
