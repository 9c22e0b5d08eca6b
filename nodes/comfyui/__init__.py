"""ComfyUI itself: what differs between its versions, what its widgets hold, where its models lie."""
