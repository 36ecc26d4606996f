-- Finds what names a user who is to be erased: direct messages, whichever of the two it is, and groups it made.

-- Up Migration

CREATE INDEX IF NOT EXISTS muster_message_direct_idx ON message (stream_descriptor) WHERE stream_mode = 4;

CREATE INDEX IF NOT EXISTS muster_channel_head_direct_descriptor_idx ON muster_channel_head (stream_descriptor)
  WHERE stream_mode = 4;

CREATE INDEX IF NOT EXISTS muster_groups_creator_idx ON groups (creator_id);

-- Down Migration

DROP INDEX IF EXISTS muster_groups_creator_idx;
DROP INDEX IF EXISTS muster_channel_head_direct_descriptor_idx;
DROP INDEX IF EXISTS muster_message_direct_idx;
