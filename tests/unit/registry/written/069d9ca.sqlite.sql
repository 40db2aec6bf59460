BEGIN TRANSACTION;
CREATE TABLE approval (
	number INTEGER NOT NULL, 
	digest VARCHAR NOT NULL, 
	document VARCHAR NOT NULL, 
	actor VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_approval PRIMARY KEY (number)
);
CREATE TABLE count (
	project VARCHAR NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	policy VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	copies INTEGER NOT NULL, 
	CONSTRAINT pk_count PRIMARY KEY (project, kind, state, policy)
)
 WITHOUT ROWID

;
INSERT INTO "count" VALUES('doubted','conversation','active','',1,0);
INSERT INTO "count" VALUES('main','conversation','active','',3,0);
INSERT INTO "count" VALUES('main','conversation','active','trial',1,0);
INSERT INTO "count" VALUES('main','conversation','soft_deleted','trial',1,0);
CREATE TABLE event (
	number INTEGER NOT NULL, 
	run VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	project VARCHAR NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	stage VARCHAR(20), 
	outcome VARCHAR(20), 
	policy VARCHAR, 
	reason VARCHAR, 
	response_id VARCHAR, 
	CONSTRAINT pk_event PRIMARY KEY (number)
);
CREATE TABLE hold (
	number INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	ids JSON, 
	labels JSON, 
	until DATETIME, 
	added_at DATETIME NOT NULL, 
	added_by VARCHAR NOT NULL, 
	released_at DATETIME, 
	released_by VARCHAR, 
	release_reason VARCHAR, 
	CONSTRAINT pk_hold PRIMARY KEY (number)
);
CREATE TABLE janitor_inbox (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	v INTEGER NOT NULL, 
	project VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	id VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	event VARCHAR NOT NULL, 
	created_at DATETIME, 
	metadata JSON, 
	drained_at DATETIME, 
	refused VARCHAR
, keep_until DATETIME);
INSERT INTO "janitor_inbox" VALUES(1,1,'main','conversation','conv_waiting','0001-01-01 00:00:00.000000','register','1970-01-01 00:00:00.000000','{"plan":"x"}',NULL,NULL,NULL);
INSERT INTO "janitor_inbox" VALUES(2,1,'main','conversation','conv_sound','1970-01-01 00:00:00.000000','touch',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE janitor_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT janitor_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "janitor_schema" VALUES('0003');
CREATE TABLE label (
	project VARCHAR NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	id VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	CONSTRAINT pk_label PRIMARY KEY (project, kind, id, "key", value)
)
 WITHOUT ROWID

;
INSERT INTO "label" VALUES('main','conversation','conv_both_epoch','plan','trial');
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('id','f12bc728ff554d5d942f9676a38a598c');
INSERT INTO "meta" VALUES('untrusted','["doubted"]');
CREATE TABLE "plan" (
	number INTEGER NOT NULL, 
	digest VARCHAR NOT NULL, 
	document VARCHAR, 
	max_age_seconds FLOAT NOT NULL, 
	actor VARCHAR NOT NULL, 
	handed_over_at DATETIME NOT NULL, 
	closed_at DATETIME, 
	run VARCHAR, 
	CONSTRAINT pk_plan PRIMARY KEY (number)
);
CREATE TABLE run (
	number INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	command VARCHAR NOT NULL, 
	mode VARCHAR NOT NULL, 
	policies_digest VARCHAR NOT NULL, 
	started_at DATETIME NOT NULL, 
	closed_at DATETIME, 
	result VARCHAR(20), 
	counts JSON, 
	ready_at DATETIME, 
	tripped JSON, 
	stops JSON, 
	link INTEGER, 
	previous VARCHAR, 
	digest VARCHAR, 
	CONSTRAINT pk_run PRIMARY KEY (number), 
	CONSTRAINT uq_run_id UNIQUE (id), 
	CONSTRAINT uq_run_link UNIQUE (link)
);
CREATE TABLE seen (
	round VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	id VARCHAR NOT NULL, 
	CONSTRAINT pk_seen PRIMARY KEY (round, project, kind, id)
)
 WITHOUT ROWID

;
CREATE TABLE thread (
	project VARCHAR NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	id VARCHAR NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	registered_at DATETIME NOT NULL, 
	created_at DATETIME, 
	last_active_at DATETIME, 
	reported_at DATETIME, 
	upstream_at DATETIME, 
	baseline_at DATETIME, 
	changed_at DATETIME, 
	newest_item VARCHAR, 
	alive_at DATETIME, 
	items INTEGER, 
	reported JSON, 
	upstream JSON, 
	reported_before JSON, 
	keep_until DATETIME, 
	review_at DATETIME, 
	policy VARCHAR, 
	due_at DATETIME, 
	soft_deleted_at DATETIME, 
	spared_until DATETIME, 
	spared_by VARCHAR, 
	deleted_at DATETIME, 
	deleted_run VARCHAR, 
	missing_since DATETIME, 
	copy_path VARCHAR, 
	copy_digest VARCHAR, 
	copy_sealed VARCHAR, 
	copy_items INTEGER, 
	copy_newest_item VARCHAR, 
	copy_size INTEGER, 
	copied_at DATETIME, 
	copy_is_current BOOLEAN NOT NULL, 
	archive_keep_until DATETIME, 
	claim_run VARCHAR, 
	claim_owner VARCHAR, 
	claim_until DATETIME, 
	attempts INTEGER NOT NULL, 
	last_error VARCHAR, 
	intent_run VARCHAR, 
	intent_at DATETIME, 
	intent_policy VARCHAR, 
	intent_alive_at DATETIME, 
	intent_access VARCHAR, source VARCHAR, vanished_at DATETIME, 
	CONSTRAINT pk_thread PRIMARY KEY (project, kind, id)
);
INSERT INTO "thread" VALUES('main','conversation','conv_active_zero','active','2026-03-01 00:00:00.000000','2025-12-01 00:00:00.000000','2025-12-01 00:00:00.000000','0001-01-01 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-03-01 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "thread" VALUES('main','conversation','conv_both_epoch','active','2026-03-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,'{"plan":"trial"}',NULL,NULL,NULL,'2026-03-01 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "thread" VALUES('main','conversation','conv_seen_epoch','active','2026-03-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000',NULL,'2026-03-01 00:00:00.000000',NULL,'i1','2026-03-01 00:00:00.000000',NULL,NULL,'{}',NULL,NULL,'2026-03-02 00:00:00.000000','trial','1970-01-31 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "thread" VALUES('main','conversation','conv_sound','active','2026-03-01 00:00:00.000000','2025-12-01 00:00:00.000000','2025-12-11 00:00:00.000000','2025-12-11 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2026-03-10 00:00:00.000000','2026-03-01 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "thread" VALUES('doubted','conversation','conv_distrusted','active','2026-03-01 00:00:00.000000','1970-01-01 00:00:00.000000','2026-03-01 00:00:00.000000','2026-02-28 00:00:00.000000',NULL,'2026-03-01 00:00:00.000000',NULL,'i1','2026-03-01 00:00:00.000000',NULL,NULL,'{}',NULL,NULL,'2026-03-02 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "thread" VALUES('main','conversation','conv_marked','soft_deleted','2026-03-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000',NULL,'2026-03-01 00:00:00.000000',NULL,'i1','2026-03-01 00:00:00.000000',NULL,NULL,'{}',NULL,NULL,'2026-03-02 00:00:00.000000','trial','2026-03-02 00:00:00.000000','2026-03-01 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE total (
	policy VARCHAR NOT NULL, 
	stage VARCHAR(20) NOT NULL, 
	outcome VARCHAR(20) NOT NULL, 
	n INTEGER NOT NULL, 
	CONSTRAINT pk_total PRIMARY KEY (policy, stage, outcome)
);
CREATE INDEX ix_thread_claim ON thread (claim_run) WHERE claim_owner IS NOT NULL;
CREATE INDEX ix_thread_dead ON thread (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX ix_thread_failing ON thread (project, kind, id) WHERE attempts > 0;
CREATE INDEX ix_thread_missing ON thread (project, kind, id) WHERE missing_since IS NOT NULL;
CREATE INDEX ix_thread_prunable ON thread (archive_keep_until) WHERE archive_keep_until IS NOT NULL;
CREATE INDEX ix_thread_rank ON thread (last_active_at) WHERE last_active_at IS NOT NULL AND state IN ('active', 'archived');
CREATE INDEX ix_thread_review ON thread (review_at, project, kind, id) WHERE review_at IS NOT NULL AND state IN ('active', 'archived', 'soft_deleted');
CREATE INDEX ix_thread_unsettled ON thread (state, project, kind, id) WHERE state IN ('deleting', 'missing');
CREATE INDEX ix_label_value ON label ("key", value, project, kind, id);
CREATE INDEX ix_hold_name ON hold (name);
CREATE INDEX ix_event_run ON event (run, number);
CREATE INDEX ix_event_thread ON event (id, number);
CREATE INDEX ix_plan_waiting ON "plan" (number) WHERE closed_at IS NULL;
CREATE INDEX ix_janitor_inbox_drained ON janitor_inbox (drained_at);
CREATE INDEX ix_janitor_inbox_undrained ON janitor_inbox (seq) WHERE drained_at IS NULL;
CREATE INDEX ix_thread_source ON thread (source, project, kind, id) WHERE source IS NOT NULL;
CREATE INDEX ix_janitor_inbox_refused ON janitor_inbox (seq) WHERE refused IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('janitor_inbox',2);
COMMIT;
