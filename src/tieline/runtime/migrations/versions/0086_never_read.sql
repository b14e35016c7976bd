-- What a stream failed with was kept beside how far it was read: a new connection that never could be read
-- showed nothing at all.
ALTER TABLE stream_cursor ALTER cursor DROP NOT NULL, ALTER read_at DROP NOT NULL,
    ADD CHECK ((cursor IS NULL) = (read_at IS NULL));
