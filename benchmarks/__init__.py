"""Benchmarks: floor, peers and us in one run (`make bench`)."""
