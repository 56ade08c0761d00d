"""This machine and the network around it: processes, deadlines, signals, addresses, proxies."""
