"""The Kubernetes API over HTTP: connection, client, reflector, Lease election.

Imports nothing of ours but names, and knows nothing of what the objects mean. The official client is not used on
this path: it is synchronous, has no informer, and costs 40 MB; the plugin, which starts once, uses it.
"""
