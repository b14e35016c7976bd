CREATE INDEX intake_batch_unfinished ON intake_batch (connection_key, stream) WHERE state = 'landing';
