SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.approval (
    number integer NOT NULL,
    digest character varying NOT NULL,
    document character varying NOT NULL,
    actor character varying NOT NULL,
    reason character varying NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.approval_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.approval_number_seq OWNED BY public.approval.number;
CREATE TABLE public.count (
    project character varying NOT NULL,
    kind character varying(20) NOT NULL,
    state character varying(20) NOT NULL,
    policy character varying NOT NULL,
    n integer NOT NULL,
    copies integer NOT NULL
);
CREATE TABLE public.event (
    number integer NOT NULL,
    run character varying NOT NULL,
    at timestamp with time zone NOT NULL,
    project character varying NOT NULL,
    kind character varying(20) NOT NULL,
    id character varying NOT NULL,
    name character varying NOT NULL,
    stage character varying(20),
    outcome character varying(20),
    policy character varying,
    reason character varying,
    response_id character varying
);
CREATE SEQUENCE public.event_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.event_number_seq OWNED BY public.event.number;
CREATE TABLE public.hold (
    number integer NOT NULL,
    name character varying NOT NULL,
    reason character varying NOT NULL,
    ids json,
    labels json,
    until timestamp with time zone,
    added_at timestamp with time zone NOT NULL,
    added_by character varying NOT NULL,
    released_at timestamp with time zone,
    released_by character varying,
    release_reason character varying
);
CREATE SEQUENCE public.hold_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hold_number_seq OWNED BY public.hold.number;
CREATE TABLE public.janitor_inbox (
    seq integer NOT NULL,
    v integer DEFAULT 1 NOT NULL,
    project character varying NOT NULL,
    kind character varying NOT NULL,
    id character varying NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    event character varying DEFAULT 'register'::character varying NOT NULL,
    created_at timestamp with time zone,
    metadata json,
    drained_at timestamp with time zone,
    refused character varying,
    keep_until timestamp with time zone
);
CREATE SEQUENCE public.janitor_inbox_seq_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.janitor_inbox_seq_seq OWNED BY public.janitor_inbox.seq;
CREATE TABLE public.janitor_schema (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.label (
    project character varying NOT NULL COLLATE pg_catalog."C",
    kind character varying(20) NOT NULL,
    id character varying NOT NULL COLLATE pg_catalog."C",
    key character varying NOT NULL,
    value character varying NOT NULL
);
CREATE TABLE public.meta (
    key character varying NOT NULL,
    value character varying NOT NULL
);
CREATE TABLE public.plan (
    number integer NOT NULL,
    digest character varying NOT NULL,
    document character varying,
    max_age_seconds double precision NOT NULL,
    actor character varying NOT NULL,
    handed_over_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    run character varying
);
CREATE SEQUENCE public.plan_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.plan_number_seq OWNED BY public.plan.number;
CREATE TABLE public.run (
    number integer NOT NULL,
    id character varying NOT NULL,
    command character varying NOT NULL,
    mode character varying NOT NULL,
    policies_digest character varying NOT NULL,
    started_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    result character varying(20),
    counts json,
    ready_at timestamp with time zone,
    tripped json,
    stops json,
    link integer,
    previous character varying,
    digest character varying
);
CREATE SEQUENCE public.run_number_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_number_seq OWNED BY public.run.number;
CREATE TABLE public.seen (
    round character varying NOT NULL COLLATE pg_catalog."C",
    project character varying NOT NULL COLLATE pg_catalog."C",
    kind character varying(20) NOT NULL,
    id character varying NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.thread (
    project character varying NOT NULL COLLATE pg_catalog."C",
    kind character varying(20) NOT NULL,
    id character varying NOT NULL COLLATE pg_catalog."C",
    state character varying(20) NOT NULL,
    registered_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone,
    last_active_at timestamp with time zone,
    reported_at timestamp with time zone,
    upstream_at timestamp with time zone,
    baseline_at timestamp with time zone,
    changed_at timestamp with time zone,
    newest_item character varying,
    alive_at timestamp with time zone,
    items integer,
    reported json,
    upstream json,
    reported_before json,
    keep_until timestamp with time zone,
    review_at timestamp with time zone,
    policy character varying,
    due_at timestamp with time zone,
    soft_deleted_at timestamp with time zone,
    spared_until timestamp with time zone,
    spared_by character varying,
    deleted_at timestamp with time zone,
    deleted_run character varying,
    missing_since timestamp with time zone,
    copy_path character varying,
    copy_digest character varying,
    copy_sealed character varying,
    copy_items integer,
    copy_newest_item character varying,
    copy_size integer,
    copied_at timestamp with time zone,
    copy_is_current boolean NOT NULL,
    archive_keep_until timestamp with time zone,
    claim_run character varying,
    claim_owner character varying,
    claim_until timestamp with time zone,
    attempts integer NOT NULL,
    last_error character varying,
    intent_run character varying,
    intent_at timestamp with time zone,
    intent_policy character varying,
    intent_alive_at timestamp with time zone,
    intent_access character varying,
    source character varying,
    vanished_at timestamp with time zone
);
CREATE TABLE public.total (
    policy character varying NOT NULL,
    stage character varying(20) NOT NULL,
    outcome character varying(20) NOT NULL,
    n integer NOT NULL
);
ALTER TABLE ONLY public.approval ALTER COLUMN number SET DEFAULT nextval('public.approval_number_seq'::regclass);
ALTER TABLE ONLY public.event ALTER COLUMN number SET DEFAULT nextval('public.event_number_seq'::regclass);
ALTER TABLE ONLY public.hold ALTER COLUMN number SET DEFAULT nextval('public.hold_number_seq'::regclass);
ALTER TABLE ONLY public.janitor_inbox ALTER COLUMN seq SET DEFAULT nextval('public.janitor_inbox_seq_seq'::regclass);
ALTER TABLE ONLY public.plan ALTER COLUMN number SET DEFAULT nextval('public.plan_number_seq'::regclass);
ALTER TABLE ONLY public.run ALTER COLUMN number SET DEFAULT nextval('public.run_number_seq'::regclass);
INSERT INTO public.count VALUES ('doubted', 'conversation', 'active', '', 1, 0);
INSERT INTO public.count VALUES ('main', 'conversation', 'active', '', 3, 0);
INSERT INTO public.count VALUES ('main', 'conversation', 'active', 'trial', 1, 0);
INSERT INTO public.count VALUES ('main', 'conversation', 'soft_deleted', 'trial', 1, 0);
INSERT INTO public.janitor_inbox VALUES (1, 1, 'main', 'conversation', 'conv_waiting', '0001-01-01 00:00:00+00', 'register', '1970-01-01 00:00:00+00', '{"plan":"x"}', NULL, NULL, NULL);
INSERT INTO public.janitor_inbox VALUES (2, 1, 'main', 'conversation', 'conv_sound', '1970-01-01 00:00:00+00', 'touch', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.janitor_schema VALUES ('0003');
INSERT INTO public.label VALUES ('main', 'conversation', 'conv_both_epoch', 'plan', 'trial');
INSERT INTO public.meta VALUES ('id', '0bbe87900e1a4245978aac08728d269c');
INSERT INTO public.meta VALUES ('untrusted', '["doubted"]');
INSERT INTO public.thread VALUES ('main', 'conversation', 'conv_active_zero', 'active', '2026-03-01 00:00:00+00', '2025-12-01 00:00:00+00', '2025-12-01 00:00:00+00', '0001-01-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-03-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.thread VALUES ('main', 'conversation', 'conv_both_epoch', 'active', '2026-03-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, '{"plan":"trial"}', NULL, NULL, NULL, '2026-03-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.thread VALUES ('main', 'conversation', 'conv_sound', 'active', '2026-03-01 00:00:00+00', '2025-12-01 00:00:00+00', '2025-12-11 00:00:00+00', '2025-12-11 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-03-10 00:00:00+00', '2026-03-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.thread VALUES ('main', 'conversation', 'conv_seen_epoch', 'active', '2026-03-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', NULL, '2026-03-01 00:00:00+00', NULL, 'i1', '2026-03-01 00:00:00+00', NULL, NULL, '{}', NULL, NULL, '2026-03-02 00:00:00+00', 'trial', '1970-01-31 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.thread VALUES ('main', 'conversation', 'conv_marked', 'soft_deleted', '2026-03-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', NULL, '2026-03-01 00:00:00+00', NULL, 'i1', '2026-03-01 00:00:00+00', NULL, NULL, '{}', NULL, NULL, '2026-03-02 00:00:00+00', 'trial', '2026-03-02 00:00:00+00', '2026-03-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.thread VALUES ('doubted', 'conversation', 'conv_distrusted', 'active', '2026-03-01 00:00:00+00', '1970-01-01 00:00:00+00', '2026-03-01 00:00:00+00', '2026-02-28 00:00:00+00', NULL, '2026-03-01 00:00:00+00', NULL, 'i1', '2026-03-01 00:00:00+00', NULL, NULL, '{}', NULL, NULL, '2026-03-02 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT pg_catalog.setval('public.approval_number_seq', 1, false);
SELECT pg_catalog.setval('public.event_number_seq', 1, false);
SELECT pg_catalog.setval('public.hold_number_seq', 1, false);
SELECT pg_catalog.setval('public.janitor_inbox_seq_seq', 2, true);
SELECT pg_catalog.setval('public.plan_number_seq', 1, false);
SELECT pg_catalog.setval('public.run_number_seq', 1, false);
ALTER TABLE ONLY public.janitor_schema
    ADD CONSTRAINT janitor_schema_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.approval
    ADD CONSTRAINT pk_approval PRIMARY KEY (number);
ALTER TABLE ONLY public.count
    ADD CONSTRAINT pk_count PRIMARY KEY (project, kind, state, policy);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT pk_event PRIMARY KEY (number);
ALTER TABLE ONLY public.hold
    ADD CONSTRAINT pk_hold PRIMARY KEY (number);
ALTER TABLE ONLY public.janitor_inbox
    ADD CONSTRAINT pk_janitor_inbox PRIMARY KEY (seq);
ALTER TABLE ONLY public.label
    ADD CONSTRAINT pk_label PRIMARY KEY (project, kind, id, key, value);
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT pk_meta PRIMARY KEY (key);
ALTER TABLE ONLY public.plan
    ADD CONSTRAINT pk_plan PRIMARY KEY (number);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT pk_run PRIMARY KEY (number);
ALTER TABLE ONLY public.seen
    ADD CONSTRAINT pk_seen PRIMARY KEY (round, project, kind, id);
ALTER TABLE ONLY public.thread
    ADD CONSTRAINT pk_thread PRIMARY KEY (project, kind, id);
ALTER TABLE ONLY public.total
    ADD CONSTRAINT pk_total PRIMARY KEY (policy, stage, outcome);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT uq_run_id UNIQUE (id);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT uq_run_link UNIQUE (link);
CREATE INDEX ix_event_run ON public.event USING btree (run, number);
CREATE INDEX ix_event_thread ON public.event USING btree (id, number);
CREATE INDEX ix_hold_name ON public.hold USING btree (name);
CREATE INDEX ix_janitor_inbox_drained ON public.janitor_inbox USING btree (drained_at);
CREATE INDEX ix_janitor_inbox_refused ON public.janitor_inbox USING btree (seq) WHERE (refused IS NOT NULL);
CREATE INDEX ix_janitor_inbox_undrained ON public.janitor_inbox USING btree (seq) WHERE (drained_at IS NULL);
CREATE INDEX ix_label_value ON public.label USING btree (key, value, project, kind, id);
CREATE INDEX ix_plan_waiting ON public.plan USING btree (number) WHERE (closed_at IS NULL);
CREATE INDEX ix_thread_claim ON public.thread USING btree (claim_run) WHERE (claim_owner IS NOT NULL);
CREATE INDEX ix_thread_dead ON public.thread USING btree (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX ix_thread_failing ON public.thread USING btree (project, kind, id) WHERE (attempts > 0);
CREATE INDEX ix_thread_missing ON public.thread USING btree (project, kind, id) WHERE (missing_since IS NOT NULL);
CREATE INDEX ix_thread_prunable ON public.thread USING btree (archive_keep_until) WHERE (archive_keep_until IS NOT NULL);
CREATE INDEX ix_thread_rank ON public.thread USING btree (last_active_at) WHERE ((last_active_at IS NOT NULL) AND ((state)::text = ANY ((ARRAY['active'::character varying, 'archived'::character varying])::text[])));
CREATE INDEX ix_thread_review ON public.thread USING btree (review_at, project, kind, id) WHERE ((review_at IS NOT NULL) AND ((state)::text = ANY ((ARRAY['active'::character varying, 'archived'::character varying, 'soft_deleted'::character varying])::text[])));
CREATE INDEX ix_thread_source ON public.thread USING btree (source, project, kind, id) WHERE (source IS NOT NULL);
CREATE INDEX ix_thread_unsettled ON public.thread USING btree (state, project, kind, id) WHERE ((state)::text = ANY ((ARRAY['deleting'::character varying, 'missing'::character varying])::text[]));
