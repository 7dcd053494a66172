"""Load modes: how deliveries meet the rows that stand.

`rules` is what a key's rows come to, as pure functions; `appending`, `keyed` and `dumps` apply them within the gate.
"""
