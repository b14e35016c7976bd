-- One notice; the same occasion, owner and channel is written once, whoever comes second.
INSERT INTO notice (notice_key, kind, occasion, owner, recipient, connection_key, is_urgent, entity_code, period_id,
    case_ids, covers_waiting, subject, body, due_at, useful_until, written_at, state, last_error, link_hash)
VALUES (%(notice_key)s, %(kind)s, %(occasion)s, %(owner)s, %(recipient)s, %(connection_key)s, %(is_urgent)s,
    %(entity_code)s, %(period_id)s, %(case_ids)s::uuid[], %(covers_waiting)s, %(subject)s, %(body)s, %(due_at)s,
    %(useful_until)s, %(now)s, %(state)s, %(last_error)s, %(link_hash)s)
ON CONFLICT DO NOTHING
