--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: login_session_changed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.login_session_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    changed_by TEXT := current_setting('rocket_login.by', TRUE);
BEGIN
    -- Deeper, somebody's own trigger has changed the row, and the instance knows nothing of it.
    IF changed_by <> '' AND pg_trigger_depth() = 1 THEN
        PERFORM pg_notify('login_sessions', encode(OLD.id, 'hex') || '@' || changed_by);
    ELSE
        PERFORM pg_notify('login_sessions', encode(OLD.id, 'hex'));
    END IF;
    RETURN NULL;
END
$$;


--
-- Name: login_sessions_ended(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.login_sessions_ended() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    ids TEXT;
BEGIN
    SELECT CASE WHEN count(*) > 100 THEN 'all' ELSE string_agg(encode(id, 'hex'), ',') END
    INTO ids FROM gone;
    IF ids IS NOT NULL THEN
        PERFORM pg_notify('login_sessions', ids);
    END IF;
    RETURN NULL;
END
$$;


--
-- Name: login_sessions_unclear(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.login_sessions_unclear() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_notify('login_sessions', 'all');
    RETURN NULL;
END
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: _sqlx_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);


--
-- Name: login_devices; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_devices (
    id bytea NOT NULL,
    user_id bigint NOT NULL,
    created_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    CONSTRAINT login_devices_id_length CHECK ((length(id) = 32))
);


--
-- Name: login_done; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_done (
    id bytea NOT NULL,
    act text NOT NULL,
    account_id bigint,
    browser text,
    expires_at bigint NOT NULL,
    CONSTRAINT login_done_id_length CHECK ((length(id) = 32))
);


--
-- Name: login_events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_events (
    id bigint NOT NULL,
    user_id bigint,
    kind text NOT NULL,
    created_at bigint NOT NULL,
    ip_address text DEFAULT ''::text NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    detail text DEFAULT ''::text NOT NULL
);


--
-- Name: login_events_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.login_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.login_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: login_mails; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_mails (
    id bigint NOT NULL,
    user_id bigint,
    recipient text NOT NULL COLLATE pg_catalog."C",
    template text NOT NULL,
    content text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    attempts bigint DEFAULT 0 NOT NULL,
    next_attempt_at bigint NOT NULL,
    sent_at bigint
);


--
-- Name: login_mails_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.login_mails ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.login_mails_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: login_muted_notices; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_muted_notices (
    user_id bigint NOT NULL,
    notice text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: login_throttle; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_throttle (
    key bytea NOT NULL,
    account bytea,
    failures bigint DEFAULT 0 NOT NULL,
    pending bigint DEFAULT 0 NOT NULL,
    blocked_until bigint DEFAULT 0 NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    spare bigint DEFAULT 0 NOT NULL,
    CONSTRAINT login_throttle_key_length CHECK ((length(key) = 16))
);


--
-- Name: login_tokens; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_tokens (
    number bigint NOT NULL,
    id bytea NOT NULL,
    user_id bigint,
    purpose text NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    password_hash text,
    is_kept boolean DEFAULT false NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    is_mailed boolean DEFAULT true NOT NULL,
    sign_up text,
    CONSTRAINT login_tokens_id_length CHECK ((length(id) = 32)),
    CONSTRAINT login_tokens_password CHECK (((purpose = 'sign_up'::text) = (password_hash IS NOT NULL))),
    CONSTRAINT login_tokens_purpose CHECK ((purpose = ANY (ARRAY['sign_up'::text, 'verify'::text, 'change_email'::text, 'reset'::text, 'not_me'::text]))),
    CONSTRAINT login_tokens_sign_up CHECK (((purpose = 'sign_up'::text) = (user_id IS NULL))),
    CONSTRAINT login_tokens_sign_up_sealed CHECK (((sign_up IS NULL) OR (purpose = 'sign_up'::text)))
);


--
-- Name: login_tokens_number_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.login_tokens ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.login_tokens_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: sessions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sessions (
    id bytea NOT NULL,
    family bytea NOT NULL,
    user_id bigint,
    data text DEFAULT '{}'::text NOT NULL,
    remember boolean DEFAULT false NOT NULL,
    created_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    authenticated_at bigint,
    ip_address text DEFAULT ''::text NOT NULL,
    ip_network text DEFAULT ''::text NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    CONSTRAINT sessions_authenticated CHECK (((user_id IS NULL) = (authenticated_at IS NULL))),
    CONSTRAINT sessions_data_object CHECK ((json_typeof((data)::json) = 'object'::text)),
    CONSTRAINT sessions_id_length CHECK ((length(id) = 32))
);


--
-- Name: users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.users (
    id bigint NOT NULL,
    email text NOT NULL COLLATE pg_catalog."C",
    password_hash text NOT NULL,
    created_at bigint NOT NULL,
    verified_at bigint,
    disabled_at bigint,
    session_generation bigint DEFAULT 0 NOT NULL,
    has_ended_sessions boolean DEFAULT false NOT NULL,
    roles text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    password_changed_at bigint,
    CONSTRAINT users_email_ascii CHECK ((email !~ '[^!-~]'::text)),
    CONSTRAINT users_email_length CHECK (((length(email) >= 3) AND (length(email) <= 254))),
    CONSTRAINT users_roles_length CHECK ((length(roles) <= 1055)),
    CONSTRAINT users_roles_letters CHECK ((roles !~ '[^a-z0-9 -]'::text))
);


--
-- Name: users_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Data for Name: _sqlx_migrations; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public._sqlx_migrations VALUES (20261123000001, 'users', '2026-11-29 13:23:26.403385+00', true, '\x1c961c85d2fadfc33ae9f9dee8cab11f8dcc7a3757528380a2fc7ea669be33070b99f0b794f01e7ac83b2ee1707a2d4e', 6542949);
INSERT INTO public._sqlx_migrations VALUES (20261123000002, 'sessions', '2026-11-29 13:23:26.403385+00', true, '\xdf22b8b40e660781eaeafff2f89b2922a93835c55452142bbaa2b1e6f896fc2da691cd974c5aa14b5689baed691661b2', 4419687);
INSERT INTO public._sqlx_migrations VALUES (20261123000003, 'account life', '2026-11-29 13:23:26.403385+00', true, '\x62db3c2eca64c3350674b6078bad0100ba2667bcda00ef75a691ca4e9e7ea725a8d185e2ffb210469141f1927568d43d', 17717382);
INSERT INTO public._sqlx_migrations VALUES (20261123000004, 'throttle', '2026-11-29 13:23:26.403385+00', true, '\xd3c0092c91acfe10496f9c7e8d70d145d1f14902697070f875d2874f18aeb98e2708bcc8566266ee346b87e5f9436e4e', 3597299);
INSERT INTO public._sqlx_migrations VALUES (20261123000005, 'session changes', '2026-11-29 13:23:26.403385+00', true, '\x3663c00369c4082fd35ee57b7130a586963f0b1193212dddaf0fa1af07e654e4c8dd88ba9cdb0a16b278a34d5a1e6764', 5047833);
INSERT INTO public._sqlx_migrations VALUES (20261123000006, 'session generations', '2026-11-29 13:23:26.403385+00', true, '\x52f717cddab573ad4d9d79dec30fd434fea505684c61ab32a71c620b3375e49cc05e4d3ad9fa8dfbbe3084c2b5ed4958', 3748280);
INSERT INTO public._sqlx_migrations VALUES (20261123000007, 'own changes', '2026-11-29 13:23:26.403385+00', true, '\xc0893f2a4cef108607b29bde33e11d37bc5cc025173502e240a39208f81080c5365767ee80d93b1f37bb4f13f54badb9', 461506);
INSERT INTO public._sqlx_migrations VALUES (20261128000041, 'exact rates', '2026-11-29 13:23:26.403385+00', true, '\xb42bd3fee85dc51d4b3b5a03ab85b4fccc112af2317d2f34cae894f910b2eb8b37f8c3bf791c3e6ea69f657cb72cb4de', 438377);
INSERT INTO public._sqlx_migrations VALUES (20261128000051, 'printed links', '2026-11-29 13:23:26.403385+00', true, '\x65221fcc33a8a50175059c80bda94b4c55f2127c440d9d60e82d1c1fdb0b4653394a7daa7503e9a88ab6a7fc42c8e66f', 423212);
INSERT INTO public._sqlx_migrations VALUES (20261128000052, 'done', '2026-11-29 13:23:26.403385+00', true, '\xdbe9efc5b2b6076ad6c2f6c7302d9518954df180198d9d1c43c0d4ea096ed8393743597a581a365b7510c983eee4e904', 3242797);
INSERT INTO public._sqlx_migrations VALUES (20261128000071, 'told always', '2026-11-29 13:23:26.403385+00', true, '\x404e9ce89ec2b7764f9e4855014fa7e8c89aa8b150ea640397ad13d1a851b079172075dd6770ef1aa8c846face33dfe6', 1866974);
INSERT INTO public._sqlx_migrations VALUES (20261129000041, 'rocket login sign up', '2026-11-29 13:23:26.403385+00', true, '\x527357f4677c00d942e2a642fd6fa59e4a6965d4a925fa5dab3ecac72093e7388723a121b3ec4ed2cab4c4fcf47d9487', 526287);
INSERT INTO public._sqlx_migrations VALUES (20261129000051, 'rocket login roles', '2026-11-29 13:23:26.403385+00', true, '\xb4cda77e0659a2ce4430ad423b0417da6fb143d95b7c8ea3688c1338cd2022f3b903406736dde87945102830dedb6868', 1728251);
INSERT INTO public._sqlx_migrations VALUES (20261129000061, 'rocket login password changed', '2026-11-29 13:23:26.403385+00', true, '\xc367e4da2e970d57c310411b12a632563c4d62dd9a96f427eaf2fbfe3daebcd3b141862a0eaa9575c4f53ee36f046ca4', 390698);


--
-- Data for Name: login_devices; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.login_devices VALUES ('\x642526f4867e25f4bb594c201309455825ad6681d7ca7a518ba0f273647715b2', 1, 1767225600, 1767225600);
INSERT INTO public.login_devices VALUES ('\x55a0b9c9ed737e06560354bc716c2ca58faf05f89b92a94cc967fdc177be986f', 1, 1767225600, 1767225600);
INSERT INTO public.login_devices VALUES ('\x3b98bd48d286608d633553b082975d2df26bee79447cd1f232f78fe7381c88dd', 1, 1767225660, 1767225660);
INSERT INTO public.login_devices VALUES ('\x54cf5abd05fca13cf5cff0d6a96f98e5333e3be60a9cbe8a8185871ffbc36e01', 1, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x0a32a2039aaf650c701eca4c09f51d93218e4a0d92b029a12999ea336be95abd', 1, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\xf98197701d2a483dc7b78e6c2dd329f6ed6927793c4426a9020ae6134a3f1a6c', 2, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x8d666f604fe8d4e34eda17b9025999bbbbfa880e2a938ac76af3885eeb5fc4cc', 3, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x71603fff733a7768746f186fc29298d9f6ddb8daafbcbc9c247376c3955b7da6', 4, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x84cbf1952cd3f4353220470f09997bf88f1b375782c31e82aa879d6e784e1e12', 5, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\xc7311548e4d11e8772a2ac35f4e397fb60ae3816f2fdd3f7b51f9e588c396130', 6, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x49787c4e629bcdaece3963f447c149b48159d48bbf753b1fa187d25d585e0b7d', 7, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\xb62c760149889e0c4c8115fbb894696124db5f319c35ac470a56c3e56cd452f4', 8, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x8c02b97156b81d9bc0cf2a22a2d254c7788b366b6b9db8667c9ad8c7f769c9f2', 9, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x71244f0bc6010b972c73e7dc168db54932718283f41f3fad3d8e351da924a7da', 9, 1767229260, 1767229260);
INSERT INTO public.login_devices VALUES ('\x981013d2f3e21f7c9fb5062a2f56ddd6287e48f73d8ff776f8bd54ca16dd739f', 10, 1767229260, 1767229260);


--
-- Data for Name: login_done; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.login_done VALUES ('\xbbb5f532c9a664ba62ede1fb0f6a0ab93130111614819544a229414e500b807a', 'password_changed', 4, NULL, 1767229860);
INSERT INTO public.login_done VALUES ('\x75cc7549a44ea7925281e7666a067d18a031de6a8ffb8e056532fc3b107b12e5', 'email_verified', 5, '6NT36ocAOP5f1GTVPMmphV-4Y975W-bY9x5B6KINsy8', 1767229860);


--
-- Data for Name: login_events; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (1, 1, 'signed_up', 1767225600, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (2, 1, 'logged_in', 1767225600, '', '', 'new_device');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (3, 1, 'logged_in', 1767225660, '', '', 'new_device');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (4, 1, 'sessions_ended', 1767225660, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (5, 1, 'logged_in', 1767229260, '', '', 'new_device');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (6, 1, 'logged_in', 1767229260, '', '', 'new_device');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (7, 1, 'logged_out', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (8, 2, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (9, 2, 'disabled', 1767229260, '', '	operator', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (10, 3, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (11, 3, 'role_granted', 1767229260, '', '	operator', 'admin');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (12, 3, 'role_granted', 1767229260, '', '	operator', 'editor');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (13, 3, 'notices_changed', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (14, 4, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (15, 4, 'password_changed', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (16, 5, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (17, 5, 'email_verified', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (18, 6, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (19, 7, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (20, 7, 'email_change_asked', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (22, 8, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (23, 8, 'reset_asked', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (24, 9, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (25, 9, 'logged_in', 1767229260, '', '', 'new_device');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (26, NULL, 'sign_up_asked', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (27, 10, 'signed_up', 1767229260, '', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (28, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (29, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (30, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (31, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (32, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (33, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (34, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (35, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (36, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');
INSERT INTO public.login_events OVERRIDING SYSTEM VALUE VALUES (37, 10, 'log_in_failed', 1767229260, '198.51.100.7', '', '');


--
-- Data for Name: login_mails; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (1, 1, 'ada@example.org', 'verify', '9sCwa/9B9f3dC0yxVBbNofU/6IDsC4O5MYNIrA2C6TTbawEdxNd1sdcdqMApN7uvp3ALP0C3cOou9gPSV5YQAoruzJutXSE8BRs/lrmimUsuhZvGA0L7pQ4JAG6CMEbn+1IXZWvFjLP1zVmxUn2jY2YohULCbN513vI3DmxGuMuUNVLGMGT4pr5d1lZDvThmsDGV/y7eBwycdFPunv72uZ9XnGsZYqoqdFBex96vDDlE6Mc/zOHerpdWkSMFutZtuJ7470YhWwMjWjlupK3awqBAAAdSv4LgZUQrmltUomLRcotDxxWYc/Ne9z/QMlU+R9pGWfgyvuCt+WWtRwqHlHY9eDAnXCdMOy3LJKvsAVaDULBvBNI62SUq4B0GAUa9IuOfkMZRbJqI', 1767225600, 1767312000, 1, 1767225605, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (2, 1, 'ada@example.org', 'new_device', 'X5PMcMrtna2OBvsYoDe7W1fQckDRL4JFdcHe4OlHl8jx9eOfr7yXqe8QeZ573kE+A812dJ4qHngzEtVDERcfoju3JeFH3MjUQYj47W3HyPELGQZQhtmGc7K65vRIEiZnd8l5AqvnjywfCdsxA0ziNL+q/4qUnvDKE98NBaURzoAbniKdbbmIIa8gPpiMPB1HC++B5KwYlbUVPZjTAGt7ZKPB4iUyhRZBAp6IHAb6co//+qzqx/Eh8RIKEY24Qt36A31Mul7M+mnqoPZfKOi/n7Kmys0e/DSnPzoS6AwBQSFTA20qOTyEoWpvKWnQYq7QGOwozyxdq9kzMKvJw3EOF1B4eQotPr3A75jMfcttzNs5kJg5XA==', 1767225600, 1767484800, 1, 1767225665, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (3, 1, 'ada@example.org', 'new_device', 'nEVMz9vajRwP8H1QWJ2k5rhXwM8PAxJ59iA5aoEE5sqFm8U2aa/DBPJ1y/ByGFYsxwmnqcWQdOhGDjVYk+73NTFnakfwnZBSnv6RcoIcL1EvwfXoTSJ4U8FJFWWiubw995xsvZa6lJRPe3Kp9HaAHTsujJPUqvoaa+ORBbm6gfdEPNCDqFM2E3ouLzYoj8U4rN7ZA1j3mw4TvD761CBsTjYJShRKGnsI6sZncyHaraA4Clty87b1lW4n+Bqj6UcGPP7siCW6G1yjzR6ZrpHFfit4KTtHli0oww+YR8U9D+z+Mzb4M8KC/LHBPdcT4SxF1vihOwYLu/JMgYT98kRfhNVWJyZAQcpg2bqQk6WG8Dz70sUvYw==', 1767225660, 1767484860, 1, 1767229265, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (10, 4, 'changed@example.org', 'password_changed', 'gFtXYR/DVRGQGbFr6V/b2UVTnYZ5Q9secdXTnLg6c7tsAOq/Ji8bh0qz3IN37jmAb8d6UX4REBIRx4dWyY39pghm3THNQHd12ImV9wFLYeXU96xeHu7jJ+41kobzz+mhbIwiA1kZtNPZO6U5e+M0MnP3kZfJCu+A+NPlwMtgU7pO1Qj6PIR5HnJzNYFHWdk0/2Q+MccDUla7ea4j1Syv3OOiqWlHZf9Lb3JEB28jqGKjtIhUkzY8p5+ZFigZc881mGn40Hqc+m+ZCAiiIzfQ0+xBXawwJuykjGnr7QG3mN1aKdhgmSCS31S2BMYzCjgD/dnZxWfe9tHFiQYKjiU/J+v2O/qL1vgOXlNKcTaEPEOV7FhNKScCxEA=', 1767229260, 1767488460, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (11, 5, 'used@example.org', 'verify', 'JDIItsFbI0UVexRJ30HZtXyk0+tf305nNdWxEwyhFOkgDyKKWoWcRmGbJ0HMJgxftL75fm8Qi2nW37J+KYVFviQu+klHFbwj0DzVp9gWYMDIpKyb2qwFuJeU4sqmEav9J7TBw06cLC/naFF5ju9ypjQCtMzeZX3+1FUk3vh8CEU7CKwngX54apHdoeV3G48c++wPERrIjBwMxXfZjpSr+0Im5V+RAgi4IozJF8PRH7k204MZUR0IkvpitYt7qXmxbgAaxdU9tlSmptowOcQOfEFBiTjfhRsqEKsX7adCczsmJhWTt799ddBaqHmr0N3gfKchOgCKPR598hnr9usF7InD8exbpZV5WbqiSWRMHMs9Fscg1toy2AdBIunzF0c0w6bQDRygyLRZuMA=', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (12, 6, 'new@example.org', 'verify', '0/LadHemt66JweJXqObzeADKcsGWM/xBPHUI47yBjXjXN0DBEhGJSnjhXkK5mmT3zoSaWqXJLjD9AyF1qw3+xrJ+cT9EFC0i8ePtvMGXKZ2Nkf6wDuq982t8wCXPENgKKHus83uieUvQXdGeJqiXjJCQ1LZIrcHrfdeMrU72rOLthsokUJmfY2ZjSi3EFTmvNDGTVJDHQZ5LxOa+tx0YAn+rw+hrU+WT+BRzsAoUtNRuyQnWSH5vB46fvhylFpb+iohkZZy3kK8Rf6JubUCkJhAgU2QFHXyxqt77XXrTbFsI7D8GWTe8C790aa8cQhO/1AM0QwV9sBtVCjTQ0pqIqLgVPeGz9OqaTnpSYCHLchH9C8vy3KZDFAntf/4dn54QdkMBiGtxnbOG', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (13, 7, 'moving@example.org', 'verify', 'QDAK/JCzyWJgAH4+xS6Gpd2hsnBVehi7driYa7vxOL8hiY3/uWbl+WMyf8NNsu+Vh7FhqGTFyvUG8kotqROOnHOzLl9AQy4Xrqsh1tWnccMJ5oQAh5f+NMnW+QZU84erazwQMdXaNaQREu7T+9ito+6BW1nIfDzP9TgqlNLgQNvHD8q1ryNok8JZ2/HFxRrIfXZ9CXNMTonQJ9d5ZjExmBJFzC2kUf/C5yan/9zKA0R5bBYi9YAVR8G2mWhBoAZwRRJa9hammK0mGK366JDkX7RjcPFan4WNyfqU9IR6heEDzKbfTWP8FXBnX7xH9rcR2ocrPjiYFPajWMnGtlGyA8Qc0pnkwRggswv2SzsDl8etQMOiRKRZm5o9UeyVxcOfgY42bvVi4ldb6yiYMWb3', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (14, 7, 'moved@example.org', 'change_email', 'pFvclByT234pQAss+pTVNlwnt/uPaz6PMfiS4BMzICyHuTv2P/16XkTeQ6kYLMczByDY/mnDtJx+nd/Y6MAl4CYjBzpgvqsExk2H5Hk1sOcsXB71KEe4an4rN+EfKqaxjhBAu5uCcUbEP918E4TGANubl0DyYKEhojgUyfXPXgdJVk7rHJmR27ZrLDj0BiFDyFfweRXt+KTL7gaDQuwzPMcdA4vDfp9m5brvTY5ZWg1P9ckLAgxxoB2iFrSobz6rRZjAO4Z7KW140/iXdfmJcg74l0CkfVlJdfOZQrrRnHkzMS8ktvWYqVyc84EOhOnl5+gW+WRRkb2PIe4eQlbaQ95ujrGfTM5Bdqgy4MF4EXv5C++CY5VMKZfVSbbt/zejvI77iyb0PbjEBi18fPM=', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (15, 7, 'moving@example.org', 'change_email_asked', 'JnG7FK4k2TnWWg2rPeXYyb9xRs5+5fij8CyUn204z/ZLAeBoHgyMweslNoL+aFfhZB6VF2mthZw57yPHkYSN8pPtm91wf20QB+xd+7Jximfhobe/kw+Dy9F+udYAW2KDlbzX4/Mh0GFXYAgaisbWWWf78bN8R0XL6ETUpZs+1Wl/hjxTS06RaMI2L5gV4exkvC7I2rv1ckMgB3nk0v76ORgVcXyqCkiUXpqTsZcTsuRaLTdWTopl0OntkoMFzCkeWlEoWMuVCodOvag8MXE1Nb0d1pidA8nb7zAOclmf3JH6MREZTe+3xzY89r7qOuIZEU2D2Cf8PcGPfQlCMH8tCdxGsOop8rYQXlN86rAPrc1YpGLZ3a5QRP6pw3ia3Q3e+eEF1njL3sXM', 1767229260, 1767488460, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (5, 1, 'ada@example.org', 'new_device', 'vf4R4Y4ASGi3Cg7hnL5mrQH5nd2aXbQzl3vS/H6ggL+OhM8I1E/pgrmo1YExIAITiGkOTyF31cgpj5aOJZ+j2d0rIRvdDDuJvT9dSQ3OwGdscEnASyqNpcdxeoYbkZgsDCv7B12Diy432rkUkCRfSuHASl3ickW60mMR3GEWrX2/KViKDcImAbXynBi8/pe840IREZoCxDiyuhDA1S1bEMFe+afPRdR9cDyiY9Rut79ehdk1o7BJ3QcU5l1txbCq6yJTY4o9qCx1ypNQ3GptC0HFOK7ASqU30W96WOksBpmHRBXwAR+0ADOkQ+bTMh66fJylWIXd9ICIyqg7hTvqVTLYzEUabs2jPZ+LUjzhn5Vaj35JLw==', 1767229260, 1767488460, 1, 1767229265, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (6, 2, 'disabled@example.org', 'verify', 'VtyEMkjU2aZM1JKYxk84s8qDfmrc0HNBj7hmxJABqIyG8HIf41USWi7LoJUj/U9F1+eOtWwp+jUFUrcvEcMAHeCGGTcCJRqYi1c/qNJm13dDeSJYOrx1AHBnPVPdtc48ODSsMopIoiJAENAiDyoH9muTzpNPcgMyANsJVnIGIb6oROlafZvTUWZ4Gaaqv9rHaRJH92EaSxzAaZQEALDSSe088OP7hD2LHXXgPq+qONMXBrjYRXZ/Jeh2oRyUPHHOnoS+XOpLdgvNBKiWBrrYmCqUQ9YxFdFquzVVnRRwGTLxTaVk3QXaxu9RHGKJRsTXNkCcjQCBLH5xBf0U4ZlD1CTs/XNHIjVWBhO/9S/DFJ5X0HLUeHlVkz2x9JFFp+bizEfY9/7v/SHTQnMlIgIVJzYJzw==', 1767229260, 1767315660, 1, 1767229265, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (7, 3, 'admin@example.org', 'verify', 'VVuDFL8f/ghnOMWigAaHUeLYPqLQB2E52dtyWkK9+TY1vSuORzRQxHrjRsTl+bsc2FbjrpjjAO2b1FY54bg0YbALaTVwMveuS2oeDEhxZjIhX0i0JvAtcxYZ0Gg9d4R00UVXJrK1qtdSaGi0tAcjSgnmYSTv8+MaFAbpThgv0cG9NxH3dah+NGBPhp2LsdLMfyuCVpJ7hWQeadDf2IF8fhyPYtXUiNHXm2PMjiiv0dfp3sw9HFg2okHGzZIv77dMWO0RNRg3/I6WVQ5yR9AueJUtmghy7/OuAVH+0mzUhKzbLqzPTMKg/79ahow3FQyjuhBVG/TxYtXoD3r1bkCY3FTOgoQ60s/9FGAMLuc+2Zcpp1Nq0Ulx/+Pob9KSYtuJkH5LcxNHlszICOhiag==', 1767229260, 1767315660, 1, 1767229265, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (16, 8, 'forgetful@example.org', 'verify', '1FmArHRIIfIwpvY0VHhBVPRrgUyPwvXs5FrDOx4lZofqNGWZGmFH4cv5ihihKg627I/L/ByeuoGDxlHD9HdQceVNHrQefnyYzZAmxZAH+SmhyU7efZn8AaAdKsOAzPtSH8f4b18FyPJWrSL2qFSR/mGtGBhaegHirkyCvqocCAp1aZIKP9fUdisIt1oulUtDg0Xi9WiPrtqDKyC+zM77YdW28Tx9FCOYba5io/hh8T8ou93cArzIn5+OuElQfNirgwPe09ZK0GQjd+Lqhp5ft+wk1dPvsIbrJ0nJlNq0HEdkObkir9xaS+E8hGmXEiMK7PoAhUCFhrRvjike8p8S4VJRm5dAFHfsFFgY8AC9C0zaIrOWGNfkSmd6e7Wimy2dRDSlkqhVj2bGaSLXdC+ifelxsmdk', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (17, 8, 'forgetful@example.org', 'reset', 'T3UVW5eKcu8JJIYaO1nRY5vy52RVLjHM5lN8wC+/yFAihBl3nYD4AuxjxTdk/SW8urnbxmsBWx4Kyp3LJHqqq3gpBaOnujvJr/yFuynM6Qn2Dx9chfg0opo0XvRliTUm3aUq1odqbwlJem+0VrYk2d4qqddzJamhvRd2zQU1l6aW0rtPPaZwqNdsX+qj+W3XrBXOuV97Ba+7zzzL1ThuoM3IVfzkplmX/LMQjYcmo9J5uGbYuFF1905bpybe5wqQf5z9ta7Tim+HvWzas/axE7lOxnMwL193B6wnEtlv7QdDy4iuJ0+RvbcaDdFct/rqqdTWoYJKDOj/IOE+XPnDuGOBUZS4VJVso3jEAggnSik2cGVOt6xTl26k2SWgiS/xNVPLNZptqGPurzV+uFlitv5k1VSs', 1767229260, 1767232860, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (18, 9, 'robbed@example.org', 'verify', 'hlCFsYVa1OSmg576twZTS4RJZoOF8OqItk12L2oLkCy4G2qXjlTVBcv9n96Bl/00EC9BHK1skjyAcKNS/M2TI5+/KCkAQI/XJryIUqkmoFcE84c03REFRDwvnoeo9TcYuZE+QiFk3c+8b6GyWziZm4TaakCBpDCToY+QfggOF4wYexv+TUE0PfhGCoxFE6/k0akF9Wj/a8qylkF10QEwtZFTh/fyif23BqpMgc/aByOAbmSc1d5uIpv9cBLWlGoLxlCDYYNp3mR15WUFNqiYbF0Klhp+GzroFgrLTfT6X/o71DQOkcTmCe7pwEZJiwjLUGcLq+CiD7a1jv8JM57RhghTjyvVVHXplA45RzZHSRxgHP2TJumau7qc10HptiAfSeenA5PK0RKFA9kNeEx+', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (19, 9, 'robbed@example.org', 'new_device', 'aXFCWlGQZG+f0CDeQ6KnhUd/zwtIE0YSnAKXHujpCm5qP8amUFcLSiu8vHR1udruQgFWZFMnnfqDOePRON9+GUTmuGV4WknowiFVAC9un1YAyjLSf550liJGz9KoyC2i6gv4vTvSFEuogcZoO7UsGlsowEkfk10azjmUnCb1mwUym+Igc4HZqcqreyN1U3Bcm4IuafLYqYI1VTH94zHlvpCIsKBxgs6LfmGIRUwG7/NgPI3zDXc7aB4wqlu0XiIo7D2wyE2uYsqfXLsvQa4Wd/+gpWbb7ZAOgKGziUwW8X+BEQLXkCdSejTaPta9orkfT8rLbJtTdOmVUmSxSjGZ01eeEZtBcaliNlBD/aU9O0rj6q1RgeReUA==', 1767229260, 1767488460, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (4, 1, 'ada@example.org', 'new_device', 'mAFQnW2bh+d5Wgyl36pxAY0garK2xjQ0GGnrXcd+yljQ2UHDXStmyWVLhAgcOgJd+4250oCwNjXpbjyzXgZnxkJ6fTZaptODDfGXvxCppLN5Hi320UkZImC3JxPPINwpjxjvGa4tw+4lLbQTkeRnpc7mem+I056Rq1Ybw7rUz2aG4FSNwbuV4cBPtGfCgzK69mRIClaixNkcRoyKCDGmnJ5gCkzFrIeHaspmVH2zvha/W8faCpFAHINr9Rm3SVy2/vq3bPcVLl2pEUqLDMWUDSGEkPtDuKPcYOyfUSqxae29rOEXV+j5znd9yGOU7OaVqyIt5TwoPJVwVDhtTrEKiD/NqcElrUU03NGB5ADsPafPhP2VKQ==', 1767229260, 1767488460, 1, 1767229265, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (20, NULL, 'waiting@example.org', 'verify', 'Ho0DDyRa6sDN+XHDbF0wtaUzARzBRy4HTTFzBSeOFNp3Ls1/TkkBvkRdLQW7ePIH37OvSB865QJqxgAsW7mzqyWx4xftfHWvQBG67oaMViKb/66K5kOuLeQwBwqHQqwJnQGM5NETb7PKvUtgrWJeAeQzS0UVMZs1voXXEwUmKbMMt6leQdnnsL0zWIbR1t3kjQvXfnXU0n/eN/EqG1l81M2XpgR0RqTDBuSgdT0HvnslLreG5h7Iw9zgQc7/vPO1q2LMHk3/v/cPwdVchKA5UZfuDZa3v0JUUP7zfSl+2t4WXqMJQHD6jsJFGnok18EP3bMrxU9axExquT7RL+eJcnv5zHcELB4wA9ClhasacNQCzpHOR5gGEWNlv5HKEQ==', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (21, 10, 'guessed@example.org', 'verify', 'n2HwqbtuugBo68QlELMk161/q9EXEIdhWrf2SAaYOODDMaHJ06S2dc5mEWL8L/DzMGayowbmbwzd1mXCOq9g5tYrxVYtqk0XD4OJI9pbjdsqovMabx+xtGioOP1hPciZQoOGCOM5MK+fdldrUvP8VZVOqEYJBB7vPbEtxMwoKoSvBkGwU2FSggcR44aqB2USmiIYgJuN3Oyco0gplltLadHmdzg1RnJgX2bj3otcLfnaEGW4fTQhIz2OnEjEWsutBgpQdocchzc3EzQfRphmMH0T23JweQ4q7FDE0B790SGSDIWmV4rQF3juVEYYXw5cVH3HAeXlfV8p1N6z4/iL0iKZSYezAc6XZ1xBy+ODC6Ojk1QTp1CsOhIoqbHBY/3vPzzoEBJW4x9OcKsqpxLVG9Y=', 1767229260, 1767315660, 0, 1767229260, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (8, 3, 'admin@example.org', 'notices_changed', 'FWOMVpdbj334/gD+PtjoKSJVqk6tpi93Fm5205KgHXoDXhqcHNYEb3QnW5fv2D+HRiNmsYkQYBaZVzGVHMtoW9KaDIcd7s7A8LK6OFqM5ITsMpqr/TNDtIPem5CU2fz8DwsbZrTxxbUscXlVamgq9xi5jIDLDDrbr/JtivfKWXEpVQIPO/38Td/EYoUw/qAoedHoAjW7IjjImalU/4P42Hd5SnElQl57BRZ87q+9q9qdSduxMRYwtcX6uYCb9980RlD8pB6AYs1JX8GE20Dd8yleyKxZVFzEQ5/7ImV0LKLWCa4RGVCCLWOB1q25spj7LQEzHjAjUgv2UZ1guYdlc4zlyaYyr4jwyo4jSpKKMm9vv8vmxgvt', 1767229260, 1767488460, 1, 1767229265, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (9, 4, 'changed@example.org', 'verify', 'vELVU3KpxaIgVuHMZQtiKf7swVaAfR0qzaMZ+6scMguTpJnK5qTTvEKYMyscgw8zRyIPlWTSrX3NUOrVDymae0I7hRCqeEYdzc0iqTxil0pNpvnkKeUo4Y8NdaTflwDpubPpMuctf5UeSsFT9ZNT8TTwOt33ePR9acxB1fUAVYTt5NZ3/cstfWNQewPAEeJ6l1mICzH5KvyOhGW13nuu95Q7aNL0qBLZW8OFMdaC7l1tPv0MKgZu6oe1DtKNX5GnqR1CZw0ImbNscW5Nw45liQvSzA69ZSH+LmqQjSOL3a+qmfVMM2EZ0uJpbM2IHubQRCpGUWYm5Ry19wo+HU0xhjw9Uw4OCAZVxOr2z4h4ymyO3ADGLH3NifXI17X9n4tMzhWumebzsWWqvCfGQ3xTjfw=', 1767229260, 1767315660, 1, 1767229265, NULL);
INSERT INTO public.login_mails OVERRIDING SYSTEM VALUE VALUES (22, 10, 'guessed@example.org', 'failures', 'dVhc5qhkcyN6pzV1k80+pCmxCoS6zUSgeKrJQJ9Sj5C2zN2PMV8z/tkfgZ15QrPBQG3hxjMRkmP9RumGLif1SXoEXFf/E9WiSZDbAAPts+oKn1e7kyeDjPTqvCjdBHB0+UrYUxLcIeCU3lshlmWffNGu2ugoxrD4Kwj4LMCFynCB3VP3zMm+XKd56HvQinOz5uJ7uNDqHmu2g6SefL0xl3kkBoWGHo0ZD7NhxRoqjjRlsWCa13wQGnN9fZkYkaqG3ObB15G1tTjWBMu7vE5EwC/bnODqRpYuqFQzj23zgRutvLSg3VMFvCr9cPZPtySQKsfbA6nIa8C70Qexzw9qQEQA6QR+GBaUQmsKjtpviArAQIFNMPVmDQmAYx6s73s=', 1767229260, 1767488460, 0, 1767229260, NULL);


--
-- Data for Name: login_muted_notices; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.login_muted_notices VALUES (3, 'new_device');
INSERT INTO public.login_muted_notices VALUES (3, 'password_changed');
INSERT INTO public.login_muted_notices VALUES (3, 'password_reset');
INSERT INTO public.login_muted_notices VALUES (3, 'email_changed');


--
-- Data for Name: login_throttle; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.login_throttle VALUES ('\x105ed6e1cf5969e99d5a6e11066b2855', '\x105ed6e1cf5969e99d5a6e11066b2855', 10, 0, 1767229260, 1767229260, 1767315660, 0);
INSERT INTO public.login_throttle VALUES ('\xb6314b74e9366d1bbeaa199e70b0051a', NULL, 0, 0, 1767229980, 1767229260, 1767229980, 0);
INSERT INTO public.login_throttle VALUES ('\x350b4b447c4725bbc2eff2a3f812e05b', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\xc1d5dc141aceea5c7d95221436677162', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x40f49289de28f6235c42038f57eb07f4', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x2d0f8752dee83701b1193abe3b5bdbc1', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\xb07503db41fac3ce12be49c2e8a187e9', '\x105ed6e1cf5969e99d5a6e11066b2855', 10, 0, 1767229290, 1767229260, 1767315660, 0);
INSERT INTO public.login_throttle VALUES ('\x4c9f6b17d2778823f5fc51efbcb9fd3b', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x4507197ff52f319877d76bb11df1b27b', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x94b7aba9596ff42accf970c67a2d70ce', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x70ecc661c9e37b6375be3761492d98bb', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\xaeb0ee638673aac4dfaf7d6d2d927e2f', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x06c305fa08dc7551136c3b53737f59a6', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\xd5a92364879b7a5fd2ba9c916b2fdea1', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\xec9510c9cc766f34cfbb6e8c6f317fc1', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x418406af2918df07d145c08d92c2749d', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x40cfeae9e1a66a0cf175e319a98f3492', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\xe92f97f7a2e9bf93601361110ceed4ab', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x768721e423d940cc5e41c3998a83a2f3', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\xe51f0186643404ffb27d4f7827dd3d6d', NULL, 0, 0, 1767229296, 1767229260, 1767229296, 0);
INSERT INTO public.login_throttle VALUES ('\xd03eb0b04e5b75d9b2129fb1347b54ae', NULL, 0, 0, 1767229620, 1767229260, 1767229620, 0);
INSERT INTO public.login_throttle VALUES ('\x133cd05dd434c04dd10ae2c327940b1e', NULL, 0, 0, 1767229320, 1767229260, 1767229320, 0);


--
-- Data for Name: login_tokens; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (1, '\x8795dd8e8fbfb88acb00ab1b162a0cc50bfb71841c5076abe7f92eca7e9c92b7', 1, 'verify', 'ada@example.org', NULL, false, 1767225600, 1767312000, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (2, '\x02fc0017e61b16b823f61125a8c450c2c1345b56da3fedfa7b908ccfb58bf722', 1, 'not_me', 'ada@example.org', NULL, false, 1767225600, 1767830400, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (3, '\x41876303d0bda07662fab6c9a9d1b029a72dafaa8cca94f74cbc9c5ac02a4288', 1, 'not_me', 'ada@example.org', NULL, false, 1767225660, 1767830460, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (4, '\xff54cef1d0a328ad6849d82222d9979570c1fb37f0036067c4fb55c290b9557a', 1, 'not_me', 'ada@example.org', NULL, false, 1767229260, 1767834060, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (5, '\xa050385536fdcaaf9060742a355e6ee23116f6adaae79aef0b4926f72b55eb54', 1, 'not_me', 'ada@example.org', NULL, false, 1767229260, 1767834060, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (7, '\xa78e7ce4ccc7c01e00d456923c07aca4265375f0075de0f58d09d53304c88612', 3, 'verify', 'admin@example.org', NULL, false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (8, '\x1e43cfd225c877c049a9dc0c7f1f209cb87db484ed8366dca083a076d2b65a3e', 3, 'not_me', 'admin@example.org', NULL, false, 1767229260, 1767834060, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (10, '\x54376ab39ade7fa33fd0bb69f47e89333c8e68d2760d44dbc2f65623f09c92aa', 4, 'not_me', 'changed@example.org', NULL, false, 1767229260, 1767834060, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (12, '\x8ab0ed5f8687701b403ec447bfd3f86352cdf3b67da1434f16d029611e2fdc5f', 6, 'verify', 'new@example.org', NULL, false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (13, '\x5261a31d95f2371f8116611acda18cdf97660b4cabcfdd9f221626f54cbdbeb1', 7, 'verify', 'moving@example.org', NULL, false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (14, '\xcda57c4d287c2035897d31c7e6e6e0c2e3c617d855f02615324fed7a5b7b6d5e', 7, 'change_email', 'moved@example.org', NULL, false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (15, '\xea9cdc1cb0b3f1e9355be363c3c4698a4211068d72b6fe553c368c740056fcfd', 7, 'not_me', 'moving@example.org', NULL, false, 1767229260, 1767834060, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (16, '\xee9f489448d5bc3024b212dca6216122bf2d1ebc4a8b288294c63ea038b206e5', 8, 'verify', 'forgetful@example.org', NULL, false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (17, '\x17ad0af1aab0ebce7128523769fcdd4ccf9eb4011f0f0858847352abe71a9257', 8, 'reset', 'forgetful@example.org', NULL, false, 1767229260, 1767232860, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (18, '\x5e7ce83f5dfe8f989d4c777109aaa8a142b31bcfd0839e065692a75983a619c7', 9, 'verify', 'robbed@example.org', NULL, false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (19, '\xc5f82249dfc8a68f9583d0a78dc73e0e857564de6de2d749d0438fe9af0425b9', 9, 'not_me', 'robbed@example.org', NULL, false, 1767229260, 1767834060, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (20, '\xc21e49fc6dde6db7c948a6756da5e698ca49f8e2c7c34d9a8013226df4067eb1', NULL, 'sign_up', 'waiting@example.org', '$argon2id$v=19$m=8,t=1,p=1$z2+kB+Bq9+0xyF5Gzz99tQ$i+Vf6fRPRaDEM8z5WK3nQdIbyeKIdu0ZH5EKZJ4ryrU', false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (21, '\xdad346fcd6ed2ca0fe7d3ad521b39cd3f271af38e47941dbb6d50bdb42f43831', 10, 'verify', 'guessed@example.org', NULL, false, 1767229260, 1767315660, true, NULL);
INSERT INTO public.login_tokens OVERRIDING SYSTEM VALUE VALUES (22, '\x32206711fba5b4cf48bb9cd628c1bfe4425a78072305c1908be23a8984406dd0', 10, 'not_me', 'guessed@example.org', NULL, false, 1767229260, 1767834060, true, NULL);


--
-- Data for Name: sessions; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sessions VALUES ('\xb14c2d204ba8acc70cf52e8400167235a7c5c625ee4971505b5e869c9a9d40c3', '\xb14c2d204ba8acc70cf52e8400167235a7c5c625ee4971505b5e869c9a9d40c3', 1, '{"views":3}', false, 1767225660, 1767225660, 1767232860, 1767225660, '', '', '', 1);
INSERT INTO public.sessions VALUES ('\x4c2bdafd47715b75e716173715ad91fa4532a46d2d6a75d37af39e2c4e376a55', '\x4c2bdafd47715b75e716173715ad91fa4532a46d2d6a75d37af39e2c4e376a55', 1, '{"views":40}', true, 1767229260, 1767229260, 1768438860, 1767229260, '', '', '', 1);
INSERT INTO public.sessions VALUES ('\xf30a7bc52e74c8e8333536beffe120ad56bdd1318a2da7ce9d1374e81ba32e3a', '\xf30a7bc52e74c8e8333536beffe120ad56bdd1318a2da7ce9d1374e81ba32e3a', NULL, '{"cart":2}', false, 1767229260, 1767229260, 1767236460, NULL, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\xabeaef266b61d4e35b8b35a65df905430602740339c42b53486786cbeb7c81d9', '\xabeaef266b61d4e35b8b35a65df905430602740339c42b53486786cbeb7c81d9', 3, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\x5561e48fadd435dbaa3df7ea42bcaa0fbe36aa144352e6b915fbe49048b50507', '\xbbb5f532c9a664ba62ede1fb0f6a0ab93130111614819544a229414e500b807a', 4, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\xaa0402ebf6540355d4e0d30556684715e0a9dfad226a45060e969f7012cd6500', '\xaa0402ebf6540355d4e0d30556684715e0a9dfad226a45060e969f7012cd6500', 5, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\x7c627575358455853c29e3ad00d98697f6f302f966dfbe4be014e1e13828e477', '\x7c627575358455853c29e3ad00d98697f6f302f966dfbe4be014e1e13828e477', 6, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\x6c1160a3fa682b496a2c4ef3444a3fe964a4d41791884855531beea5ebcc3acd', '\x6c1160a3fa682b496a2c4ef3444a3fe964a4d41791884855531beea5ebcc3acd', 7, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\x9efb555bf12e6fe83823ce3dde9d2f334fdd9252789c3d4afb3c8b18fabaf0c7', '\x9efb555bf12e6fe83823ce3dde9d2f334fdd9252789c3d4afb3c8b18fabaf0c7', 8, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\x06003cf124ae8757f9a60100a8ff2df185714e624e59622749bd1343fa8ae167', '\x06003cf124ae8757f9a60100a8ff2df185714e624e59622749bd1343fa8ae167', 9, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\x1adf0c66169e6159c067c6e4a870b3950a956879f908eb88d1153b773b7eea18', '\x1adf0c66169e6159c067c6e4a870b3950a956879f908eb88d1153b773b7eea18', 9, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);
INSERT INTO public.sessions VALUES ('\xfdf9d2b5df6651af88528a8212b4ffac7f4fc924313d288dff462f3164793397', '\xfdf9d2b5df6651af88528a8212b4ffac7f4fc924313d288dff462f3164793397', 10, '{}', false, 1767229260, 1767229260, 1767236460, 1767229260, '', '', '', 0);


--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (1, 'ada@example.org', '$argon2id$v=19$m=8,t=1,p=1$m1jpFbsJ1bXitIwZtl7kkw$CIFHA6sh2jaX1plfgqLB5MBTm4g/BeK8H/7LtaRQ4+s', 1767225600, NULL, NULL, 1, true, '', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (2, 'disabled@example.org', '$argon2id$v=19$m=8,t=1,p=1$S4kIVB4l2Qg8oiCviQpq8Q$uTQMiy4lpI7s7ifQi9zN1aSGHRCPuRCIFzGv2PBGk/s', 1767229260, NULL, 1767229260, 1, true, '', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (3, 'admin@example.org', '$argon2id$v=19$m=8,t=1,p=1$fzP+jilGdYkqQTd9HJvY5Q$IkTVlES9jI+ZhGOh79yi3ehr3rJ4M3/xPhcpwwDIXOI', 1767229260, NULL, NULL, 0, false, 'admin editor', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (4, 'changed@example.org', '$argon2id$v=19$m=8,t=1,p=1$CMfx//HFJYpl/1Bayn8vBg$0Z+k/2oMi8rYF/P7c3FndrL10nqK65jROtYkazRyRZw', 1767229260, NULL, NULL, 0, false, '', 1767229260);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (5, 'used@example.org', '$argon2id$v=19$m=8,t=1,p=1$h4Vy4H0vGsb4XNsOIDSBOQ$kgC/hmQjreny+5FEFGxk2aslPXLZjujopqgjHDQhX0g', 1767229260, 1767229260, NULL, 0, false, '', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (6, 'new@example.org', '$argon2id$v=19$m=8,t=1,p=1$eozei3mWQgJitMV/+OJrRA$VJ3pGvnqxOP3euNsMBvQn0ObrLEZ9Fpew+Vd1UymnvI', 1767229260, NULL, NULL, 0, false, '', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (7, 'moving@example.org', '$argon2id$v=19$m=8,t=1,p=1$RkEqcx5YzLz9h31DjI57qA$w+EsORM2GKjG4k+gbDr3JWOggcy1m29UGUHC9sM408c', 1767229260, NULL, NULL, 0, false, '', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (8, 'forgetful@example.org', '$argon2id$v=19$m=8,t=1,p=1$nbyBQqXoNT0DNtRZ37tScw$CU3DQH9iavA3NINtuqfLylpfQwSp27sig8Ij1fHOVWU', 1767229260, NULL, NULL, 0, false, '', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (9, 'robbed@example.org', '$argon2id$v=19$m=8,t=1,p=1$lQfbEYaVUeLB+O9c6EuG/w$RFnGMVnZmn7ytCw+KbH4X9kJerCU6sfeNdaju7F1Imc', 1767229260, NULL, NULL, 0, false, '', NULL);
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (10, 'guessed@example.org', '$argon2id$v=19$m=8,t=1,p=1$D9hsczbd+qhvLj3t/94tZg$lqu4crv31qxFDlUaHCR9Yr5zuNlD/wNohMW7EJqiXuM', 1767229260, NULL, NULL, 0, false, '', NULL);


--
-- Name: login_events_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.login_events_id_seq', 37, true);


--
-- Name: login_mails_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.login_mails_id_seq', 22, true);


--
-- Name: login_tokens_number_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.login_tokens_number_seq', 22, true);


--
-- Name: users_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.users_id_seq', 10, true);


--
-- Name: _sqlx_migrations _sqlx_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);


--
-- Name: login_devices login_devices_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_devices
    ADD CONSTRAINT login_devices_pkey PRIMARY KEY (user_id, id);


--
-- Name: login_done login_done_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_done
    ADD CONSTRAINT login_done_pkey PRIMARY KEY (id);


--
-- Name: login_events login_events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_events
    ADD CONSTRAINT login_events_pkey PRIMARY KEY (id);


--
-- Name: login_mails login_mails_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_mails
    ADD CONSTRAINT login_mails_pkey PRIMARY KEY (id);


--
-- Name: login_muted_notices login_muted_notices_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_muted_notices
    ADD CONSTRAINT login_muted_notices_pkey PRIMARY KEY (user_id, notice);


--
-- Name: login_throttle login_throttle_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_throttle
    ADD CONSTRAINT login_throttle_pkey PRIMARY KEY (key);


--
-- Name: login_tokens login_tokens_id_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_tokens
    ADD CONSTRAINT login_tokens_id_key UNIQUE (id);


--
-- Name: login_tokens login_tokens_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_tokens
    ADD CONSTRAINT login_tokens_pkey PRIMARY KEY (number);


--
-- Name: sessions sessions_family_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_family_key UNIQUE (family);


--
-- Name: sessions sessions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);


--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);


--
-- Name: login_devices_last_seen_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_devices_last_seen_at_idx ON public.login_devices USING btree (last_seen_at);


--
-- Name: login_done_account_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_done_account_id_idx ON public.login_done USING btree (account_id) WHERE (account_id IS NOT NULL);


--
-- Name: login_done_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_done_expires_at_idx ON public.login_done USING btree (expires_at);


--
-- Name: login_events_created_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_events_created_at_idx ON public.login_events USING btree (created_at);


--
-- Name: login_events_user_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_events_user_id_idx ON public.login_events USING btree (user_id, kind, id);


--
-- Name: login_mails_due_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_mails_due_idx ON public.login_mails USING btree (next_attempt_at) WHERE (sent_at IS NULL);


--
-- Name: login_mails_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_mails_expires_at_idx ON public.login_mails USING btree (expires_at);


--
-- Name: login_mails_recipient_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_mails_recipient_idx ON public.login_mails USING btree (lower(recipient));


--
-- Name: login_mails_user_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_mails_user_id_idx ON public.login_mails USING btree (user_id) WHERE (user_id IS NOT NULL);


--
-- Name: login_throttle_account_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_throttle_account_idx ON public.login_throttle USING btree (account) WHERE (account IS NOT NULL);


--
-- Name: login_throttle_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_throttle_expires_at_idx ON public.login_throttle USING btree (expires_at);


--
-- Name: login_throttle_failures_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_throttle_failures_idx ON public.login_throttle USING btree (failures, expires_at);


--
-- Name: login_tokens_email_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_tokens_email_idx ON public.login_tokens USING btree (lower(email));


--
-- Name: login_tokens_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_tokens_expires_at_idx ON public.login_tokens USING btree (expires_at);


--
-- Name: login_tokens_purpose_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX login_tokens_purpose_key ON public.login_tokens USING btree (user_id, purpose) WHERE ((user_id IS NOT NULL) AND (purpose <> 'not_me'::text));


--
-- Name: login_tokens_sign_up_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX login_tokens_sign_up_key ON public.login_tokens USING btree (lower(email)) WHERE (purpose = 'sign_up'::text);


--
-- Name: login_tokens_user_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX login_tokens_user_id_idx ON public.login_tokens USING btree (user_id) WHERE (user_id IS NOT NULL);


--
-- Name: sessions_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_expires_at_idx ON public.sessions USING btree (expires_at);


--
-- Name: sessions_user_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_user_id_idx ON public.sessions USING btree (user_id, generation) WHERE (user_id IS NOT NULL);


--
-- Name: sessions_visitors_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_visitors_idx ON public.sessions USING btree (ip_network, created_at) WHERE (user_id IS NULL);


--
-- Name: users_email_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX users_email_key ON public.users USING btree (lower(email));


--
-- Name: users_has_ended_sessions_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_has_ended_sessions_idx ON public.users USING btree (id) WHERE has_ended_sessions;


--
-- Name: users_roles_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_roles_idx ON public.users USING btree (id) WHERE (roles <> ''::text);


--
-- Name: sessions login_session_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER login_session_changed AFTER UPDATE ON public.sessions FOR EACH ROW WHEN (((old.id <> new.id) OR (old.family <> new.family) OR (old.data <> new.data) OR (old.user_id IS DISTINCT FROM new.user_id) OR (old.remember <> new.remember) OR (old.created_at <> new.created_at) OR (old.authenticated_at IS DISTINCT FROM new.authenticated_at) OR (old.expires_at > new.expires_at) OR (old.generation <> new.generation))) EXECUTE FUNCTION public.login_session_changed();

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER login_session_changed;


--
-- Name: sessions login_session_replicated; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER login_session_replicated AFTER DELETE ON public.sessions FOR EACH ROW EXECUTE FUNCTION public.login_session_changed();

ALTER TABLE public.sessions ENABLE REPLICA TRIGGER login_session_replicated;


--
-- Name: sessions login_sessions_ended; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER login_sessions_ended AFTER DELETE ON public.sessions REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.login_sessions_ended();

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER login_sessions_ended;


--
-- Name: sessions login_sessions_unclear; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER login_sessions_unclear AFTER TRUNCATE ON public.sessions FOR EACH STATEMENT EXECUTE FUNCTION public.login_sessions_unclear();

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER login_sessions_unclear;


--
-- Name: users login_user_changed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER login_user_changed AFTER UPDATE ON public.users FOR EACH ROW WHEN (((old.id <> new.id) OR (old.email <> new.email) OR (old.created_at <> new.created_at) OR (old.verified_at IS DISTINCT FROM new.verified_at) OR (old.disabled_at IS DISTINCT FROM new.disabled_at) OR (old.session_generation <> new.session_generation) OR (old.roles <> new.roles))) EXECUTE FUNCTION public.login_sessions_unclear();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER login_user_changed;


--
-- Name: users login_user_deleted; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER login_user_deleted AFTER DELETE ON public.users FOR EACH ROW EXECUTE FUNCTION public.login_sessions_unclear();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER login_user_deleted;


--
-- Name: login_devices login_devices_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_devices
    ADD CONSTRAINT login_devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- Name: login_done login_done_account_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_done
    ADD CONSTRAINT login_done_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- Name: login_events login_events_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_events
    ADD CONSTRAINT login_events_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- Name: login_mails login_mails_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_mails
    ADD CONSTRAINT login_mails_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- Name: login_muted_notices login_muted_notices_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_muted_notices
    ADD CONSTRAINT login_muted_notices_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- Name: login_tokens login_tokens_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_tokens
    ADD CONSTRAINT login_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- Name: sessions sessions_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--


