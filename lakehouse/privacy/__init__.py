"""What the lake knows about people without knowing who they are: entities and their surrogates.

Keys, seals, tokens, erasure and tombstones come with the vault; what is here already has their shape.
"""
