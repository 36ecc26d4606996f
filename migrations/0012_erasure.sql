-- Finds the direct messages of a user, whichever of the two it is, when the user is to be erased.

-- Up Migration

CREATE INDEX IF NOT EXISTS muster_message_direct_idx ON message (stream_descriptor) WHERE stream_mode = 4;

CREATE INDEX IF NOT EXISTS muster_channel_head_direct_descriptor_idx ON muster_channel_head (stream_descriptor)
  WHERE stream_mode = 4;

-- Down Migration

DROP INDEX IF EXISTS muster_channel_head_direct_descriptor_idx;
DROP INDEX IF EXISTS muster_message_direct_idx;
