-- Step 3: how sure it is who sent a kept message, and which domains it came through. Of those kept before nobody knows.
ALTER TABLE message ADD COLUMN strength INTEGER NOT NULL DEFAULT 0 CHECK (strength BETWEEN 0 AND 3);
ALTER TABLE message ADD COLUMN visited TEXT NOT NULL DEFAULT '';
