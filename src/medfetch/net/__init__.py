"""The network: one client for bytes, one for the hosts' APIs, and the layers around them."""
