-- Targets that take lines as import documents are asked by the number of the document. It is written down
-- before its first byte leaves; a line sent again may have travelled in several.
CREATE TABLE line_document (
    business_key  uuid NOT NULL REFERENCES effect,
    document_key  uuid NOT NULL,
    PRIMARY KEY (business_key, document_key)
);
