"""Numerical ideas shared by systems, one file each."""
