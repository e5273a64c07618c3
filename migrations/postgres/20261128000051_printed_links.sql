-- A link that the operator has printed was read in no mail: its use confirms no address.
ALTER TABLE login_tokens ADD COLUMN is_mailed BOOLEAN NOT NULL DEFAULT TRUE;
