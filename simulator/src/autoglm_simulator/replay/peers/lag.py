"""By how many seconds the metrics of each path are late."""

PROMETHEUS_LAG = 30
"""A scrape by Prometheus, then a sync of the HPA: 15 s each."""
SCRAPE_LAG = 10
"""A controller that scrapes the pods itself."""
DIRECT_LAG = 5
"""One that also decides at once."""
