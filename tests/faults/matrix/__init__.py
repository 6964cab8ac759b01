"""Workloads under faults: every pair on fresh members, and checkers that judge what clients saw."""
