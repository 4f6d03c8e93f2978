-- The whole schema of hearth.db as of the last step. A new database is made from this file; an older
-- one gets the steps it lacks (NNN-name.sql). Both ways must lead to the same schema: a test compares.
-- Dates are milliseconds since 1970-01-01T00:00:00Z. Addresses and domains are canonical: compared as bytes.

-- What the database knows of itself: 'key check' tells whether a key file is the one it was made with, 'calendar'
-- by how many milliseconds the wall clock was ahead of the calendar of leases.
CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids are never used again: what still names a deleted account must not meet its successor.
CREATE TABLE account (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    address        TEXT    NOT NULL UNIQUE,
    made           INTEGER NOT NULL,
    locked         INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)),
    watchers       TEXT    NOT NULL DEFAULT 'ask' CHECK (watchers IN ('refuse', 'ask', 'allow')),
    keeps_messages INTEGER NOT NULL DEFAULT 0 CHECK (keeps_messages IN (0, 1)),
    -- Tells an empty access control list from none.
    has_acl        INTEGER NOT NULL DEFAULT 0 CHECK (has_acl IN (0, 1)),
    told_online    INTEGER
) STRICT;
-- Few at any time: found without going through all accounts when the server starts.
CREATE INDEX account_told_online ON account (address) WHERE told_online IS NOT NULL;

-- Verifiers only. Apart from the account, which is read far more often.
CREATE TABLE password (
    account          INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    argon2           TEXT    NOT NULL,
    scram_salt       TEXT    NOT NULL,
    scram_iterations INTEGER NOT NULL,
    scram_stored_key TEXT    NOT NULL,
    scram_server_key TEXT    NOT NULL
) STRICT;

-- 'sealed': XChaCha20-Poly1305 under the key file, nonce first; bound to address and label.
CREATE TABLE device_key (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    label   TEXT    NOT NULL,
    sealed  BLOB    NOT NULL,
    made    INTEGER NOT NULL,
    PRIMARY KEY (account, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE profile (
    account  INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    value    TEXT    NOT NULL,
    PRIMARY KEY (account, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE acl (
    account  INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    value    TEXT    NOT NULL,
    PRIMARY KEY (account, position)
) STRICT, WITHOUT ROWID;

-- Who sees which of a user's presence documents: numbered from 1 without gaps, negative only within a
-- transaction. 'class': the watchers' patterns, one a line.
CREATE TABLE mapping (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    number  INTEGER NOT NULL CHECK (number <> 0),
    class   TEXT    NOT NULL,
    UNIQUE (account, number)
) STRICT;

-- What the watchers of a mapping see; without a row, nothing. Apart from the mapping, so that a change of
-- numbers doesn't write the documents again. 'open', 'since', 'description': what it says, where it is read.
CREATE TABLE document (
    mapping      INTEGER PRIMARY KEY REFERENCES mapping ON DELETE CASCADE,
    content_type TEXT,
    octets       BLOB NOT NULL,
    open         INTEGER CHECK (open IN (0, 1)),
    since        INTEGER,
    description  TEXT
) STRICT;

-- Subscriptions to the presence of our users. Read in the order they were made (id). Without 'expires' they
-- last until they are ended. 'named': the watcher's server gave the token.
CREATE TABLE inbound (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    watcher TEXT    NOT NULL,
    token   TEXT    NOT NULL,
    expires INTEGER,
    named   INTEGER NOT NULL CHECK (named IN (0, 1)),
    UNIQUE (account, watcher, token)
) STRICT;
CREATE INDEX inbound_expires ON inbound (expires) WHERE expires IS NOT NULL;

-- Subscriptions that our users hold. 'automatic': the server has asked for it by itself; what is left of those is
-- ended at the next start.
CREATE TABLE outbound (
    id         INTEGER PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    presentity TEXT    NOT NULL,
    token      TEXT    NOT NULL,
    expires    INTEGER,
    automatic  INTEGER NOT NULL CHECK (automatic IN (0, 1)),
    UNIQUE (account, presentity, token)
) STRICT;
CREATE INDEX outbound_expires ON outbound (expires) WHERE expires IS NOT NULL;

-- What waits for a user's next login, in the order it was written down (seq); either a row of
-- 'failure' or one of 'message' belongs to it. 'octets': what counts against the bound, 0 for failures.
CREATE TABLE item (
    seq     INTEGER PRIMARY KEY,
    id      INTEGER NOT NULL UNIQUE,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    date    INTEGER NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('failure', 'message')),
    octets  INTEGER NOT NULL CHECK (octets >= 0)
) STRICT;
CREATE INDEX item_account ON item (account);
CREATE INDEX item_date ON item (date);

-- Messages that could not be delivered, whose senders could not be told at the time.
CREATE TABLE failure (
    item      INTEGER PRIMARY KEY REFERENCES item ON DELETE CASCADE,
    recipient TEXT    NOT NULL,
    sent      INTEGER NOT NULL,
    reason    TEXT    NOT NULL
) STRICT;

-- Messages kept for users who are away and have opted in.
CREATE TABLE message (
    item         INTEGER PRIMARY KEY REFERENCES item ON DELETE CASCADE,
    sender       TEXT    NOT NULL,
    reply_to     TEXT,
    content_type TEXT    NOT NULL,
    body         BLOB    NOT NULL,
    -- The protocol family's own form, for recipients of the same family.
    family       INTEGER,
    native       BLOB,
    -- How sure it is who sent it, 0 (anybody could have) to 3; the domains it has come through.
    strength     INTEGER NOT NULL DEFAULT 0 CHECK (strength BETWEEN 0 AND 3),
    visited      TEXT    NOT NULL DEFAULT '',
    CHECK ((family IS NULL) = (native IS NULL))
) STRICT;

-- Users whose watchers have yet to be told what they see now: a restart goes on with it.
CREATE TABLE untold (
    account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE
) STRICT;

-- What the operator says of other domains.
CREATE TABLE peer_rule (
    domain TEXT NOT NULL PRIMARY KEY,
    rule   TEXT NOT NULL CHECK (rule IN ('allow', 'deny'))
) STRICT, WITHOUT ROWID;
