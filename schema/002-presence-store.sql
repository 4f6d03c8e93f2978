-- Step 2: mappings and their documents; subscriptions that last until they are ended, and those whose token
-- the watcher's server gave.
CREATE TABLE mapping (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    number  INTEGER NOT NULL CHECK (number <> 0),
    class   TEXT    NOT NULL,
    UNIQUE (account, number)
) STRICT;

CREATE TABLE document (
    mapping      INTEGER PRIMARY KEY REFERENCES mapping ON DELETE CASCADE,
    content_type TEXT,
    octets       BLOB NOT NULL,
    open         INTEGER CHECK (open IN (0, 1)),
    since        INTEGER,
    description  TEXT
) STRICT;

CREATE TABLE inbound_2 (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    watcher TEXT    NOT NULL,
    token   TEXT    NOT NULL,
    expires INTEGER,
    named   INTEGER NOT NULL CHECK (named IN (0, 1)),
    UNIQUE (account, watcher, token)
) STRICT;
INSERT INTO inbound_2 (id, account, watcher, token, expires, named)
    SELECT id, account, watcher, token, expires, 0 FROM inbound;
DROP TABLE inbound;
ALTER TABLE inbound_2 RENAME TO inbound;
CREATE INDEX inbound_expires ON inbound (expires) WHERE expires IS NOT NULL;

CREATE TABLE outbound_2 (
    id         INTEGER PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    presentity TEXT    NOT NULL,
    token      TEXT    NOT NULL,
    expires    INTEGER,
    automatic  INTEGER NOT NULL CHECK (automatic IN (0, 1)),
    UNIQUE (account, presentity, token)
) STRICT;
INSERT INTO outbound_2 (id, account, presentity, token, expires, automatic)
    SELECT id, account, presentity, token, expires, automatic FROM outbound;
DROP TABLE outbound;
ALTER TABLE outbound_2 RENAME TO outbound;
CREATE INDEX outbound_expires ON outbound (expires) WHERE expires IS NOT NULL;

-- Users whose watchers have yet to be told what they see now: a restart goes on with it.
CREATE TABLE untold (
    account INTEGER PRIMARY KEY REFERENCES account ON DELETE CASCADE
) STRICT;
