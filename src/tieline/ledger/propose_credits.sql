-- What an invoice should give back and bill anew, as the newest version of the hour has it; never sent by itself.
INSERT INTO credit_proposal AS x (change_id, entry_id, business_key, entity_code, contract_id, invoice_id, credit_amount,
    credit_currency, rebill_amount, rebill_currency, made_at)
SELECT c.change_id, c.entry_id, c.standing_key, c.entity_code, c.contract_id, c.invoice_id, c.old_amount, c.old_currency,
       c.new_amount, c.new_currency, %(now)s
FROM posted_change c
JOIN time_entry t ON t.entry_id = c.entry_id AND t.newest_version = c.version AND t.verdict_id = c.verdict_id
WHERE c.way = 'credit_and_rebill' AND c.standing_key IS NOT NULL AND {of_entries}
ON CONFLICT (change_id) DO UPDATE SET rebill_amount = excluded.rebill_amount, rebill_currency = excluded.rebill_currency
WHERE x.state = 'proposed'
  AND (x.rebill_amount, x.rebill_currency) IS DISTINCT FROM (excluded.rebill_amount, excluded.rebill_currency)
