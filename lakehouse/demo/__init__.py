"""The demo: synthetic files in the real shapes, and the tour that takes them through every tier.

Nothing here knows a domain. Rows are made from the contracts; what a contract cannot say (how long an invoice is,
which hours a shop is open) stands in `policies/domains/<domain>/demo.yaml`.
"""
