"""A simulated IB Gateway: the TWS wire protocol over alluse_paper."""
