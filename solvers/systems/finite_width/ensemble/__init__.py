"""Ensembles of finite networks: tensors at initialisation, and the trained outputs."""
