"""``python -m gateway_client new-key FILE``: keep a new private key in FILE, print its public part for the gateway."""

import json
import os
import sys

from .credentials import new_key


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] != "new-key":
        print("usage: python -m gateway_client new-key FILE", file=sys.stderr)
        return 2
    private, public = new_key()
    try:
        with open(os.open(arguments[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(private, file)
    except OSError as error:
        print(f"{arguments[1]}: {error.strerror}", file=sys.stderr)
        return 1
    print(json.dumps(public))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
