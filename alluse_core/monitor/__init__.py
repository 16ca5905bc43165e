"""Collection of metrics, the store they go to, and the alerts that read them.

Modules are imported where they are used: ``collector``, ``history``, ``store``, ``reader``,
``alerts``, ``definitions``.
"""
