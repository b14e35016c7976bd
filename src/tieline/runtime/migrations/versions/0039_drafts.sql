-- Which release a draft was made from: it is approved only while that one still decides.
ALTER TABLE release ADD COLUMN based_on integer REFERENCES release;
