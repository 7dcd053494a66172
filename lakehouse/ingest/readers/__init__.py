"""Readers: delivered files of every format in, frames of text out, and what cannot be read with its reason.

`delivery` opens a file and picks the reader by the contract's format; each format has a fast way and an exact one.
"""
