//! A new key file, when the old one is lost or others have seen it.

use std::path::Path;

use rusqlite::{OpenFlags, TransactionBehavior};

use super::error::{StoreError, Trouble};
use super::{DATABASE_FILE, KEY_FILE, KeyFile, Lock, connect, make_durable, migrate, sync_directory_of};

/// Makes a new key file for a data directory from random bytes, and deletes all device keys of all users:
/// they were sealed under the old one. Everything else stays. Says how many there were. Whenever
/// it is cut short, it can be done again.
///
/// # Errors
/// [`Trouble::Running`] if a server has the directory; whatever is wrong with the files.
pub fn renew_key(data_dir: &Path, random: [u8; 32]) -> Result<usize, StoreError> {
    let _lock = Lock::serve(data_dir)?;
    let (database, key_file) = (data_dir.join(DATABASE_FILE), data_dir.join(KEY_FILE));
    let next = data_dir.join("hearth.key.new");
    match std::fs::remove_file(&next) {
        // Left by an attempt that was cut short.
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Trouble::from(error).at(&next)),
    }
    let key = KeyFile::create(&next, random)?;
    let forgotten = adopt(&database, &key).map_err(|t| t.at(&database))?;
    // Only now: until the database knows it, it must not stand in the old one's place.
    let put = || std::fs::rename(&next, &key_file).and_then(|()| sync_directory_of(&key_file));
    put().map_err(|e| Trouble::from(e).at(&key_file))?;
    Ok(forgotten)
}

fn adopt(database: &Path, key: &KeyFile) -> Result<usize, Trouble> {
    if !database.try_exists()? {
        return Err(Trouble::Missing);
    }
    let mut conn = connect(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    migrate::bring_up(&mut conn)?;
    make_durable(&conn)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let forgotten = tx.execute("DELETE FROM device_key", [])?;
    tx.execute("UPDATE setting SET value = ?1 WHERE name = 'key check'", [key.check()])?;
    tx.commit()?;
    Ok(forgotten)
}
