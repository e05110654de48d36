"""A fake device plugin: offers GPUs that do not exist to a real kubelet, through the kubelet's real API."""
