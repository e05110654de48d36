"""`python -m localcluster.deviceplugin --resource nvidia.com/gpu --count 8`."""

import argparse

from localcluster.deviceplugin.server import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Offer devices that do not exist to the kubelet of this node.")
    parser.add_argument("--resource", required=True, help="name of the resource")
    parser.add_argument("--count", type=int, required=True, help="how many")
    options = parser.parse_args()
    serve(options.resource, options.count)
