"""Grafana dashboards generated from the metric catalogue."""

from autoglm_dashboards.queries import all_queries

__all__ = ["all_queries"]
