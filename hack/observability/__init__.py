"""What Prometheus, Alertmanager and Grafana are given: rules, alerts with their pages, dashboards, scraping.

`make generate` writes all of it into ``deploy/observability`` and ``docs/alerts.md``.
"""
