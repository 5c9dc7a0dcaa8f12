"""What `jaxslice selftest` does: does this machine compute exactly, and notice damage?"""
