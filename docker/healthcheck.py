"""Whether a worker in this container can serve. Takes another URL to ask instead."""

import http.client
import os
import ssl
import sys
from urllib.parse import urlsplit

TIMEOUT_S = 2


def own_url() -> str:
    """GET /readyz of the worker, on its own port."""
    scheme = "https" if os.environ.get("EXNESS_TLS_CERTIFICATE_FILE") else "http"
    return f"{scheme}://127.0.0.1:{os.environ.get('PORT', '4000')}/readyz"


def connection_to(scheme: str, host: str) -> http.client.HTTPConnection:
    """Not opened yet. Whose certificate it is does not matter inside of one container."""
    if scheme == "http":
        return http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, timeout=TIMEOUT_S, context=tls)


def main() -> None:
    """Exit code 1, with a line, when it can't."""
    parts = urlsplit(sys.argv[1] if sys.argv[1:] else own_url())
    connection = connection_to(parts.scheme, parts.netloc)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        sys.exit(str(error) or type(error).__name__)
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"{answer.status} {answer.reason}")


if __name__ == "__main__":
    main()
