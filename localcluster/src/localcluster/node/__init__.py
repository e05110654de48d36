"""The node: everything that runs inside its own network, mount and process namespaces."""
