//! The schema and its versions: a new file gets the whole schema, an older one the steps it lacks, a
//! newer one is refused, and so is any other file, an empty one included: what was a database and is now
//! empty must not quietly become a server without users.
//!
//! `PRAGMA user_version` counts the steps that a file has had; `PRAGMA application_id` tells our files
//! from others. A step is never changed once it has been released; a new one is added to [`STEPS`], and
//! what it does to the whole to `schema.sql`.

use rusqlite::{Connection, TransactionBehavior};

use super::error::Trouble;

/// The whole schema, as of the last step.
const SCHEMA: &str = include_str!("../../schema/schema.sql");

/// What leads to it from an empty file, in order.
const STEPS: &[&str] = &[
    include_str!("../../schema/001-base.sql"),
    include_str!("../../schema/002-presence-store.sql"),
    include_str!("../../schema/003-way-of-messages.sql"),
];

/// The version that this program reads and writes.
pub const VERSION: u32 = STEPS.len() as u32;

/// "hrth".
const APPLICATION: i32 = 0x6872_7468;

/// Makes a new database of [`VERSION`], with `check` in it, from an empty file. All or nothing is done.
pub fn create(conn: &mut Connection, check: &[u8]) -> Result<(), Trouble> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version(&tx)?.is_some() {
        return Err(Trouble::Exists);
    }
    tx.execute_batch(SCHEMA)?;
    tx.execute("INSERT INTO setting (name, value) VALUES ('key check', ?1)", [check])?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(())
}

/// Brings a database to [`VERSION`]. All or nothing is done.
pub fn bring_up(conn: &mut Connection) -> Result<(), Trouble> {
    take_steps(conn, STEPS)
}

/// Refuses all versions but [`VERSION`].
pub fn require_current(conn: &Connection) -> Result<(), Trouble> {
    match version(conn)? {
        Some(found) if found > VERSION => Err(Trouble::Newer { found, known: VERSION }),
        Some(VERSION) => Ok(()),
        Some(found) => Err(Trouble::Older { found, known: VERSION }),
        None => Err(Trouble::NotOurs),
    }
}

fn take_steps(conn: &mut Connection, steps: &[&str]) -> Result<(), Trouble> {
    if version(conn)? == Some(steps.len() as u32) {
        return Ok(());
    }
    // A step that rebuilds a table must not set off cascades; this has no effect inside a transaction.
    conn.pragma_update(None, "foreign_keys", false)?;
    let done = take_missing(conn, steps);
    conn.pragma_update(None, "foreign_keys", true)?;
    done
}

fn take_missing(conn: &mut Connection, steps: &[&str]) -> Result<(), Trouble> {
    let known = steps.len() as u32;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again: another process may have been quicker.
    let found = version(&tx)?.ok_or(Trouble::NotOurs)?;
    let missing = steps.get(found as usize..).ok_or(Trouble::Newer { found, known })?;
    for step in missing {
        tx.execute_batch(step)?;
    }
    if tx.prepare("PRAGMA foreign_key_check")?.exists([])? {
        return Err(Trouble::Damaged("rows without their owners".into()));
    }
    tx.pragma_update(None, "user_version", known)?;
    tx.commit()?;
    Ok(())
}

/// Makes of a database what the first release would have: its tables hold what they hold, as far as the first
/// schema knows it. For the simulator, whose servers start on older databases.
pub fn take_down_to_first(conn: &mut Connection) -> Result<(), Trouble> {
    let first = STEPS.first().copied().unwrap_or_default();
    conn.pragma_update(None, "foreign_keys", false)?;
    // The old shapes of the tables that a later step has rebuilt are read off a fresh first schema.
    let older = Connection::open_in_memory()?;
    older.execute_batch(first)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "DROP TABLE mapping; DROP TABLE document; DROP TABLE untold;
         DELETE FROM inbound WHERE expires IS NULL OR named = 1;
         DELETE FROM outbound WHERE expires IS NULL;",
    )?;
    for (table, columns) in [
        ("inbound", "id, account, watcher, token, expires"),
        ("outbound", "id, account, presentity, token, expires, automatic"),
        ("message", "item, sender, reply_to, content_type, body, family, native"),
    ] {
        let sql = "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND sql IS NOT NULL ORDER BY type DESC";
        let shapes: Vec<String> =
            older.prepare(sql)?.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
        tx.execute_batch(&format!(
            "ALTER TABLE {table} RENAME TO newer_{table}; DROP INDEX IF EXISTS {table}_expires;"
        ))?;
        for shape in shapes {
            tx.execute_batch(&shape)?;
        }
        tx.execute_batch(&format!(
            "INSERT OR IGNORE INTO {table} ({columns}) SELECT {columns} FROM newer_{table}; DROP TABLE newer_{table};"
        ))?;
    }
    tx.pragma_update(None, "user_version", 1)?;
    tx.commit()?;
    conn.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// The version of one of our files, none of an empty one.
fn version(conn: &Connection) -> Result<Option<u32>, Trouble> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application == APPLICATION {
        return Ok(Some(version));
    }
    let empty = !conn.prepare("SELECT 1 FROM sqlite_schema LIMIT 1")?.exists([])?;
    if application == 0 && version == 0 && empty { Ok(None) } else { Err(Trouble::NotOurs) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    /// A file as its first `count` steps left it.
    fn frozen(steps: &[&str], count: usize) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "foreign_keys", true).unwrap();
        for step in &steps[..count] {
            conn.execute_batch(step).unwrap();
        }
        conn.pragma_update(None, "application_id", APPLICATION).unwrap();
        conn.pragma_update(None, "user_version", count as u32).unwrap();
        conn
    }

    fn lines(conn: &Connection, sql: &str) -> Vec<String> {
        let mut statement = conn.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((0..columns).map(|i| format!("{:?}|", row.get_ref(i).unwrap())).collect::<String>())
        };
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    /// All that makes two schemas differ for a program: not comments, blanks, or how a column came in.
    fn shape(conn: &Connection) -> Vec<String> {
        let mut shape = lines(
            conn,
            "SELECT t.name, t.type, t.wr, t.strict, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk, c.hidden
             FROM pragma_table_list t, pragma_table_xinfo(t.name) c
             WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_schema' ORDER BY t.name, c.cid",
        );
        shape.extend(lines(
            conn,
            "SELECT t.name, f.\"table\", f.\"from\", f.\"to\", f.on_update, f.on_delete
             FROM pragma_table_list t, pragma_foreign_key_list(t.name) f ORDER BY 1, 2, 3",
        ));
        shape.extend(lines(
            conn,
            "SELECT t.name, i.\"unique\", i.origin, i.partial, x.seqno, x.name, x.desc, x.coll, x.key
             FROM pragma_table_list t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) x
             ORDER BY t.name, i.origin, i.name, x.seqno",
        ));
        let mut checks: Vec<String> = Vec::new();
        let sql = conn.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
        for (name, sql) in sql
            .unwrap()
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap()
            .map(Result::<(String, String), _>::unwrap)
        {
            let plain = sql.lines().map(|l| l.split("--").next().unwrap()).collect::<Vec<_>>().join(" ");
            let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
            checks.extend(
                plain.split("CHECK").skip(1).map(|c| format!("{name} CHECK{}", c.trim_end_matches(", "))),
            );
            checks.push(format!("{name} autoincrement: {}", plain.contains("AUTOINCREMENT")));
        }
        shape.extend(checks);
        shape
    }

    #[test]
    fn a_new_and_a_migrated_schema_are_equal() {
        let mut new = Connection::open_in_memory().unwrap();
        create(&mut new, &[1; 32]).unwrap();
        let wanted = shape(&new);
        assert!(wanted.len() > 100, "{wanted:#?}");
        for version in 0..=STEPS.len() {
            let mut old = frozen(STEPS, version);
            bring_up(&mut old).unwrap();
            assert_eq!(shape(&old), wanted, "from version {version}");
            require_current(&old).unwrap();
        }
    }

    #[test]
    fn every_table_is_strict_and_nothing_outlives_its_account() {
        let mut conn = Connection::open_in_memory().unwrap();
        create(&mut conn, &[1; 32]).unwrap();
        let loose = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict
                     AND name NOT LIKE 'sqlite_%'";
        assert_eq!(lines(&conn, loose), Vec::<String>::new());
        let kept = "SELECT t.name FROM pragma_table_list t, pragma_foreign_key_list(t.name) f
                    WHERE f.on_delete <> 'CASCADE'";
        assert_eq!(lines(&conn, kept), Vec::<String>::new());
    }

    #[test]
    fn only_missing_steps_are_taken_and_all_of_them_or_none() {
        let steps = [
            "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT; CREATE TABLE b (x INTEGER REFERENCES a) STRICT;
             INSERT INTO a VALUES (1); INSERT INTO b VALUES (1);",
            "ALTER TABLE a ADD COLUMN y TEXT; CREATE INDEX a_y ON a (y);",
            "CREATE TABLE c (x INTEGER) STRICT;",
        ];
        let mut old = frozen(&steps, 1);
        take_steps(&mut old, &steps).unwrap();
        assert_eq!(version(&old).unwrap(), Some(3));
        assert_eq!(lines(&old, "SELECT x, y FROM a").len(), 1);
        // Again: nothing to do.
        take_steps(&mut old, &steps).unwrap();

        for bad in ["CREATE TABLE c (", "CREATE TABLE c (x INTEGER) STRICT; DELETE FROM a;"] {
            let mut old = frozen(&steps, 1);
            let before = shape(&old);
            assert!(take_steps(&mut old, &[steps[0], steps[1], bad]).is_err());
            assert_eq!(version(&old).unwrap(), Some(1));
            assert_eq!(shape(&old), before);
            assert_eq!(lines(&old, "SELECT x FROM a").len(), 1);
            let enforced: bool = old.pragma_query_value(None, "foreign_keys", |r| r.get(0)).unwrap();
            assert!(enforced);
        }
    }

    #[test]
    fn newer_and_foreign_files_are_refused_unchanged() {
        let mut newer = frozen(STEPS, STEPS.len());
        newer.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let expected = Trouble::Newer { found: VERSION + 1, known: VERSION };
        assert_eq!(bring_up(&mut newer).unwrap_err(), expected);
        assert_eq!(require_current(&newer).unwrap_err(), expected);
        assert_eq!(create(&mut newer, &[]).unwrap_err(), Trouble::Exists);
        assert_eq!(version(&newer).unwrap(), Some(VERSION + 1));

        let mut other = Connection::open_in_memory().unwrap();
        other.execute_batch("CREATE TABLE x (y)").unwrap();
        assert_eq!(bring_up(&mut other).unwrap_err(), Trouble::NotOurs);
        assert_eq!(create(&mut other, &[]).unwrap_err(), Trouble::NotOurs);
        assert_eq!(lines(&other, "SELECT name FROM sqlite_schema").len(), 1);
    }
}
