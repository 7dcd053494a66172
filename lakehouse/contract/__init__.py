"""Contracts: ODCS files in, frozen typed objects out.

`load` reads them (all mistakes at once, each with its place), `model` is what comes out, `arrow` says which columns a
table has in each tier, `canonical` holds the forms ids take before any HMAC, `schema` and `scaffold` help to write one.
Nothing here touches a lake; data files are only looked at by `scaffold`.
"""
