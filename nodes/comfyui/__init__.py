"""ComfyUI's interfaces: differences between its versions, types of sockets, checks of its widgets' values."""
