"""Where calls between services are observed: one file a kind of source, found by folder. A new kind is a new file here.

Each has `SOURCE`: the platform of its connection, what that may say, and the function that reads the calls.
"""
