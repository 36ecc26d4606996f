-- What is to be done at some time, by whichever node comes first, with one outcome each.

-- Up Migration

CREATE TABLE IF NOT EXISTS muster_job (
  kind        VARCHAR(64)  NOT NULL,
  subject     VARCHAR(160) NOT NULL, -- what it is about, such as a tournament
  period      VARCHAR(64)  NOT NULL, -- which one of its occasions
  state       SMALLINT     NOT NULL DEFAULT 0 CHECK (state >= 0 AND state <= 2), -- 0 open, 1 done, 2 failed
  due_time    TIMESTAMPTZ  NOT NULL,
  run_time    TIMESTAMPTZ  NOT NULL, -- claimed from then on: when it is due, the end of a lease or of a pause
  fence       BIGINT       NOT NULL, -- grows with each claim; a run that holds an older one has lost the job
  attempts    INT          NOT NULL DEFAULT 0,
  tries       INT          NOT NULL DEFAULT 0, -- attempts that got nowhere since the last step ahead
  node        VARCHAR(128), -- who claimed it last
  payload     JSONB        NOT NULL DEFAULT '{}',
  outcome     JSONB,
  error       VARCHAR(1024), -- of the last attempt that failed
  create_time TIMESTAMPTZ  NOT NULL DEFAULT now(),
  done_time   TIMESTAMPTZ,

  CONSTRAINT muster_job_pkey PRIMARY KEY (kind, subject, period)
);

CREATE INDEX IF NOT EXISTS muster_job_run_idx ON muster_job (run_time) WHERE state = 0;
CREATE INDEX IF NOT EXISTS muster_job_done_idx ON muster_job (done_time) WHERE state > 0;

-- Down Migration

DROP TABLE IF EXISTS muster_job;
