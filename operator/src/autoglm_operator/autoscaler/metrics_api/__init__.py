"""The custom-metrics API server: what it answers, to whom, and with which certificate."""
