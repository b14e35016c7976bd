-- Which invoice was made under a key: asked before each draft, and of every share.
CREATE INDEX invoice_record_key ON invoice_record (business_key);
