-- What the link of a sign-up must remember for the application's hooks. It is sealed: it may be personal.
ALTER TABLE login_tokens ADD COLUMN sign_up TEXT
    CONSTRAINT login_tokens_sign_up_sealed CHECK (sign_up IS NULL OR purpose = 'sign_up');
