//! The key file: 32 random bytes, apart from the database, under which device keys are sealed.
//!
//! Whoever has the database alone (a backup, a stolen disk image) can't log in with it. The file is
//! text of two lines and may be read by its owner only. Keys for other purposes are derived from it.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::error::{StoreError, Trouble};
use crate::credential::Secret;
use crate::credential::password::hmac_sha256;

const HEADER: &str = "# hearth key file 1: keep it secret, and a copy of it apart from the database";
/// Far more than the two lines need.
const MAX_FILE: u64 = 4096;
const NONCE: usize = 24;

/// The secret of a key file.
#[derive(Clone)]
pub struct KeyFile {
    secret: Zeroizing<[u8; 32]>,
    /// Derived from it: what device keys are sealed under.
    device_keys: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key)")
    }
}

impl KeyFile {
    /// Without a file: for simulations and tests.
    pub fn from_bytes(random: [u8; 32]) -> KeyFile {
        let secret = Zeroizing::new(random);
        let device_keys = Zeroizing::new(hmac_sha256(secret.as_ref(), b"device keys"));
        KeyFile { secret, device_keys }
    }

    /// Makes the file, readable by its owner only, from 32 random bytes; it is on the disk when this
    /// returns.
    ///
    /// # Errors
    /// [`Trouble::Exists`] if there is one: it is never overwritten.
    pub fn create(path: &Path, random: [u8; 32]) -> Result<KeyFile, StoreError> {
        let key = KeyFile::from_bytes(random);
        let text = Zeroizing::new(format!("{HEADER}\n{}\n", *Zeroizing::new(STANDARD.encode(*key.secret))));
        let write = || -> Result<(), Trouble> {
            let mut file = super::create_private(path)?;
            super::give_to_owner_of_directory(&file, path);
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            super::sync_directory_of(path)?;
            Ok(())
        };
        write().map_err(|t| t.at(path))?;
        Ok(key)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Trouble::KeyMissing`], [`Trouble::KeyExposed`] (anybody but its owner has a permission),
    /// [`Trouble::KeyMalformed`], or that it can't be read.
    pub fn load(path: &Path) -> Result<KeyFile, StoreError> {
        KeyFile::read(path).map_err(|t| t.at(path))
    }

    fn read(path: &Path) -> Result<KeyFile, Trouble> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Trouble::KeyMissing,
            _ => e.into(),
        })?;
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(Trouble::KeyExposed { mode });
        }
        // With room for all of it: growing would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize));
        match file.take(MAX_FILE).read_to_string(&mut text) {
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => return Err(Trouble::KeyMalformed),
            other => other?,
        };
        let mut lines = text.lines();
        let (header, key, rest) = (lines.next(), lines.next(), lines.next());
        if header != Some(HEADER) || rest.is_some() {
            return Err(Trouble::KeyMalformed);
        }
        let bytes = STANDARD.decode(key.unwrap_or_default()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| Trouble::KeyMalformed)?;
        <[u8; 32]>::try_from(bytes.as_slice()).map(KeyFile::from_bytes).map_err(|_| Trouble::KeyMalformed)
    }

    /// A key for one purpose: HMAC-SHA-256 of the purpose's name; tells nothing of the others.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        hmac_sha256(self.secret.as_ref(), purpose.as_bytes())
    }

    /// What the database keeps to know its key file again.
    pub(super) fn check(&self) -> [u8; 32] {
        self.derive("key check")
    }

    /// Seals a device key for its row: nonce, then ciphertext. It opens for the same address and label
    /// only, so that rows can't be exchanged. The nonce is derived from all that is sealed, hence never
    /// used for two different texts, and no randomness is needed.
    pub(super) fn seal(&self, address: &str, label: &str, secret: &Secret) -> Result<Vec<u8>, Trouble> {
        let bound = bound_to(address, label);
        let mut text = Zeroizing::new(bound.clone());
        text.extend_from_slice(secret.expose().as_bytes());
        let digest = hmac_sha256(&*Zeroizing::new(self.derive("device key nonce")), &text);
        let nonce = &digest[..NONCE];
        let sealed = self
            .cipher()
            .encrypt(&xnonce(nonce)?, Payload { msg: secret.expose().as_bytes(), aad: &bound })
            .map_err(|_| Trouble::Failed("a device key can't be sealed".into()))?;
        Ok([nonce, &sealed].concat())
    }

    /// Opens what [`seal`](KeyFile::seal) made; none if it is not that.
    pub(super) fn open(&self, address: &str, label: &str, sealed: &[u8]) -> Option<Secret> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let bound = bound_to(address, label);
        let text = self.cipher().decrypt(&xnonce(nonce).ok()?, Payload { msg: sealed, aad: &bound });
        String::from_utf8(text.ok()?).ok().map(Secret::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.device_keys).into())
    }
}

fn xnonce(bytes: &[u8]) -> Result<XNonce, Trouble> {
    XNonce::try_from(bytes).map_err(|_| Trouble::Failed("a nonce has the wrong length".into()))
}

/// Address and label, so that no other pair gives the same octets.
fn bound_to(address: &str, label: &str) -> Vec<u8> {
    let mut bound = (address.len() as u64).to_be_bytes().to_vec();
    bound.extend_from_slice(address.as_bytes());
    bound.extend_from_slice(&(label.len() as u64).to_be_bytes());
    bound.extend_from_slice(label.as_bytes());
    bound
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::fs;

    fn load(text: &[u8], mode: u32) -> Result<KeyFile, Trouble> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hearth.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        KeyFile::load(&path).map_err(|e| e.trouble)
    }

    #[test]
    fn a_key_file_comes_back_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hearth.key");
        let made = KeyFile::create(&path, [9; 32]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyFile::load(&path).unwrap().derive("x"), made.derive("x"));
        assert_eq!(KeyFile::create(&path, [8; 32]).unwrap_err().trouble, Trouble::Exists);
        assert_eq!(KeyFile::load(&path).unwrap().derive("x"), made.derive("x"));
    }

    #[test]
    fn a_bad_key_file_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let missing = KeyFile::load(&dir.path().join("hearth.key")).unwrap_err();
        assert_eq!(missing.trouble, Trouble::KeyMissing);
        let good = format!("{HEADER}\n{}\n", STANDARD.encode([1; 32]));
        assert!(load(good.as_bytes(), 0o600).is_ok());
        assert!(load(good.as_bytes(), 0o400).is_ok());
        for mode in [0o640, 0o604, 0o620, 0o601, 0o644] {
            assert_eq!(load(good.as_bytes(), mode).unwrap_err(), Trouble::KeyExposed { mode });
        }
        let exposed = Trouble::KeyExposed { mode: 0o644 }.at(Path::new("/x/hearth.key")).to_string();
        assert!(exposed.contains("mode 0644") && exposed.contains("chmod 600 /x/hearth.key"), "{exposed}");
        for bad in ["", HEADER, "x", &good.replace("1:", "2:"), &format!("{good}x"), &good.replace("AQ", "A")]
        {
            assert_eq!(load(bad.as_bytes(), 0o600).unwrap_err(), Trouble::KeyMalformed, "{bad:?}");
        }
        assert_eq!(load(&[0xff; 5000], 0o600).unwrap_err(), Trouble::KeyMalformed);
    }

    #[test]
    fn keys_of_different_purposes_differ() {
        let key = KeyFile::from_bytes([1; 32]);
        assert_ne!(key.derive("simp challenge"), key.derive("device keys"));
        assert_ne!(key.derive("simp challenge"), KeyFile::from_bytes([2; 32]).derive("simp challenge"));
        assert_eq!(format!("{key:?}"), "(key)");
    }

    #[test]
    fn what_is_sealed_opens_in_its_own_place_only() {
        let key = KeyFile::from_bytes([1; 32]);
        let secret = Secret::new("hush".into());
        let sealed = key.seal("a@b", "phone", &secret).unwrap();
        assert_eq!(key.open("a@b", "phone", &sealed), Some(secret.clone()));
        assert_eq!(key.open("a@c", "phone", &sealed), None);
        assert_eq!(key.open("a@b", "phon", &sealed), None);
        assert_eq!(key.open("a@bp", "hone", &sealed), None);
        assert_eq!(KeyFile::from_bytes([2; 32]).open("a@b", "phone", &sealed), None);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(key.open("a@b", "phone", &bad), None);
            assert_eq!(key.open("a@b", "phone", &sealed[..at]), None);
        }
        // Equal secrets of two users can't be seen to be equal.
        let other = key.seal("c@b", "phone", &secret).unwrap();
        assert_ne!(sealed[..NONCE], other[..NONCE]);
        assert_ne!(sealed[NONCE..], other[NONCE..]);
    }
}
