"""The network: read vis.py first, then ms_sts.py beside the paper."""
