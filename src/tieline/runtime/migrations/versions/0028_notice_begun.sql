-- When the latest sending of a notice began: what a channel may still be at is not asked for before it has settled.
ALTER TABLE notice ADD COLUMN begun_at timestamptz;
