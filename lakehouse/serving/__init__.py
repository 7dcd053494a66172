"""The only way for people to read: masked views of a purpose, on an embedded engine."""
