"""TLS for the rows that want it: a certificate of the server's own, made when it starts."""

import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

# What servers mostly have today; it counts for handshakes only.
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

HEADERS = "#include <openssl/ssl.h>\n"


def context() -> ssl.SSLContext:
    """Return TLS with a fresh self-signed certificate; nothing is left on the disk.

    Raises:
        CalledProcessError: openssl makes none.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as name:
        files = Path(name, "cert.pem"), Path(name, "key.pem")
        command = ["openssl", "req", "-x509", *KEY, "-days", "2", "-subj", "/CN=localhost"]
        command += ["-out", str(files[0]), "-keyout", str(files[1])]
        subprocess.run(command, check=True, capture_output=True)
        made.load_cert_chain(*files)
    return made


def lack() -> str | None:
    """Return what is missing here for rows with TLS, or None."""
    if shutil.which("openssl") is None:
        return "no openssl, which makes the certificate (apt-get install openssl)"
    if shutil.which("gcc") is None:
        return "no gcc (apt-get install gcc libc6-dev)"
    tried = subprocess.run(["gcc", "-E", "-"], input=HEADERS, capture_output=True, text=True)
    if tried.returncode != 0:
        return "no headers of OpenSSL for the load generator (apt-get install libssl-dev)"
    return None
