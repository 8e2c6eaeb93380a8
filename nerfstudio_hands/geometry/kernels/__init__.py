"""Warp kernels, one family of queries a file.

The first parameter of each is the index of its first item, see `launch.py`.
"""
