"""A certificate authority for the tests, made with the `openssl` program."""

import os
import shutil
import ssl
import subprocess
import threading


def available():
    """Is there an `openssl` to make certificates with?"""
    return shutil.which("openssl") is not None


class Authority:
    """An authority that nobody trusts but those who are given `certificate`."""

    def __init__(self, directory, name="ca"):
        self._name, self._lock = name, threading.Lock()
        self._directory = directory
        self.certificate = os.path.join(directory, f"{name}.pem")
        self._key = os.path.join(directory, f"{name}.key")
        self._issued = {}
        os.makedirs(directory, exist_ok=True)
        self._openssl(self._key, self.certificate, f"/CN=hearth test {name}", [
            "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
        ])

    def _openssl(self, key, out, subject, extensions, *more):
        line = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", subject, "-keyout", key, "-out", out, *more,
        ]
        for extension in extensions:
            line += ["-addext", extension]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl: {done.stderr}")

    def issue(self, *names):
        """A certificate for those domains: the paths of its chain and of its key."""
        with self._lock:
            if names not in self._issued:
                path = os.path.join(self._directory, f"{self._name}-{len(self._issued)}-{names[0]}")
                self._openssl(f"{path}.key", f"{path}.pem", f"/CN={names[0]}", [
                    "basicConstraints=critical,CA:FALSE", "extendedKeyUsage=serverAuth,clientAuth",
                    "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
                ], "-CA", self.certificate, "-CAkey", self._key)
                self._issued[names] = (f"{path}.pem", f"{path}.key")
            return self._issued[names]

    def client(self, protocol, *names):
        """A context to connect with: trusts this authority; shows a certificate if names are given."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.set_alpn_protocols([protocol])
        if names:
            context.load_cert_chain(*self.issue(*names))
        return context

    def server(self, protocols, *names):
        """A context to accept with: asks for the other side's certificate, which must be of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(list(protocols))
        context.load_cert_chain(*self.issue(*names))
        return context
