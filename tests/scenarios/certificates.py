"""Certificates for scenarios, made by the openssl program: an authority, and what it signs."""
import pathlib

from programs import peer, run


class Authority:
    """A certificate authority with its files in `folder`: NAME.pem and NAME.key."""

    def __init__(self, folder, name='ca'):
        self.folder, self.name, self.openssl = pathlib.Path(folder), name, peer('openssl')
        self._openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                      '-subj', f'/CN={name}', '-keyout', self._path(name, 'key'), '-out', self.ca,
                      '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign')

    @property
    def ca(self):
        return self._path(self.name, 'pem')

    def issue(self, name, names='DNS:localhost,IP:127.0.0.1', days=1, key=None):
        """A certificate for those names, and its key: two paths. Issued again it replaces the files."""
        request, extensions = self._path(name, 'csr'), self._path(name, 'ext')
        fresh_key = self._path(name, 'newkey') if key is None else key
        if key is None:
            self._openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', fresh_key)
        self._openssl('req', '-new', '-key', fresh_key, '-subj', f'/CN={name}', '-out', request)
        extensions.write_text(f'subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n'
                              'keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n')
        fresh = self._path(name, 'newpem')
        self._openssl('x509', '-req', '-in', request, '-CA', self.ca, '-CAkey', self._path(self.name, 'key'), '-CAcreateserial',
                      '-days', days, '-extfile', extensions, '-out', fresh)
        certificate = self._path(name, 'pem')
        fresh.rename(certificate)
        if key is None:
            fresh_key.rename(self._path(name, 'key'))
        return certificate, self._path(name, 'key') if key is None else key

    def _path(self, name, suffix):
        return self.folder / f'{name}.{suffix}'

    def _openssl(self, *argv):
        done = run(self.openssl, *argv)
        assert done.returncode == 0, done.stderr
