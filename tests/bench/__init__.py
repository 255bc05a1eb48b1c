"""The benchmark: medfetch and its peers on the same bytes from the same server, in turn; ``make bench``.

It knows medfetch only as the program that its users start.
"""
