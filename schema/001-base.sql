-- Step 1: the first released schema.
CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    address        TEXT    NOT NULL UNIQUE,
    made           INTEGER NOT NULL,
    locked         INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)),
    watchers       TEXT    NOT NULL DEFAULT 'ask' CHECK (watchers IN ('refuse', 'ask', 'allow')),
    keeps_messages INTEGER NOT NULL DEFAULT 0 CHECK (keeps_messages IN (0, 1)),
    has_acl        INTEGER NOT NULL DEFAULT 0 CHECK (has_acl IN (0, 1)),
    told_online    INTEGER
) STRICT;
CREATE INDEX account_told_online ON account (address) WHERE told_online IS NOT NULL;

CREATE TABLE password (
    account          INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    argon2           TEXT    NOT NULL,
    scram_salt       TEXT    NOT NULL,
    scram_iterations INTEGER NOT NULL,
    scram_stored_key TEXT    NOT NULL,
    scram_server_key TEXT    NOT NULL
) STRICT;

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

CREATE TABLE inbound (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    watcher TEXT    NOT NULL,
    token   TEXT    NOT NULL,
    expires INTEGER NOT NULL,
    UNIQUE (account, token)
) STRICT;
CREATE INDEX inbound_expires ON inbound (expires);

CREATE TABLE outbound (
    id         INTEGER PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    presentity TEXT    NOT NULL,
    token      TEXT    NOT NULL,
    expires    INTEGER NOT NULL,
    automatic  INTEGER NOT NULL CHECK (automatic IN (0, 1)),
    UNIQUE (account, presentity, token)
) STRICT;
CREATE INDEX outbound_expires ON outbound (expires);

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

CREATE TABLE failure (
    item      INTEGER PRIMARY KEY REFERENCES item ON DELETE CASCADE,
    recipient TEXT    NOT NULL,
    sent      INTEGER NOT NULL,
    reason    TEXT    NOT NULL
) STRICT;

CREATE TABLE message (
    item         INTEGER PRIMARY KEY REFERENCES item ON DELETE CASCADE,
    sender       TEXT    NOT NULL,
    reply_to     TEXT,
    content_type TEXT    NOT NULL,
    body         BLOB    NOT NULL,
    family       INTEGER,
    native       BLOB,
    CHECK ((family IS NULL) = (native IS NULL))
) STRICT;

CREATE TABLE peer_rule (
    domain TEXT NOT NULL PRIMARY KEY,
    rule   TEXT NOT NULL CHECK (rule IN ('allow', 'deny'))
) STRICT, WITHOUT ROWID;
