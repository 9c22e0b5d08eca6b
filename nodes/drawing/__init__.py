"""Pictures made with matplotlib, which only these modules import; nodes load them through ``library``, without it."""
