-- A link that the operator has printed was read in no mail: its use confirms no address.
ALTER TABLE login_tokens ADD COLUMN is_mailed INTEGER NOT NULL DEFAULT 1
    CONSTRAINT login_tokens_mailed_bool CHECK (is_mailed IN (0, 1));
