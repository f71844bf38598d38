"""Whether a worker in this container can serve. Takes another URL to ask instead."""

import os
import ssl
import sys
import urllib.request

TIMEOUT_S = 2


def own_url() -> str:
    """GET /readyz of the worker, on its own port."""
    scheme = "https" if os.environ.get("EXNESS_TLS_CERTIFICATE_FILE") else "http"
    return f"{scheme}://127.0.0.1:{os.environ.get('PORT', '4000')}/readyz"


def main() -> None:
    """Exit code 1, with a line, when it can't."""
    unchecked = ssl._create_unverified_context()  # of this container, under a name that no certificate has
    try:
        with urllib.request.urlopen(sys.argv[1] if sys.argv[1:] else own_url(), timeout=TIMEOUT_S, context=unchecked):
            pass
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
