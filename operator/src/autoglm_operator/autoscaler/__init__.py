"""The autoscaler process: scrapes engines and agents, decides, and serves `custom.metrics.k8s.io` from memory.

```
scrape → store → snapshot → decide.scaling → publish → metrics_api
                                           └→ writer (status.autoscaling, Lease holder only)
```
Everything a GET needs is in memory; the only call on its path is the review of who may read, when that is not cached.
"""
