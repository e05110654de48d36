"""Alert rules: one source for a PrometheusRule, for a plain rules file and for alerts that Grafana evaluates."""
