import { type Statement, sql } from '../../store/sql.ts';
import { type Board, Operator } from './board.ts';
import type { RecordRow } from './record-queries.ts';

/** What a write did, or the record as it stood when nothing was written. */
export interface WriteRow extends RecordRow {
  applied: boolean;
}

const returned = `owner_id, username, score, subscore, num_score, max_num_score, metadata, create_time, update_time`;
const ofR = returned.replace(/\w+/g, 'r.$&');

/** What the operators do with a record that is there, and when they do it (spec: section 7). */
const rules = {
  bestDown: {
    score: 'GREATEST(r.score, $5::bigint)',
    subscore: 'GREATEST(r.subscore, $6::bigint)',
    applies: '(r.score < $5::bigint OR r.subscore < $6::bigint)',
  },
  bestUp: {
    score: 'LEAST(r.score, $5::bigint)',
    subscore: 'LEAST(r.subscore, $6::bigint)',
    applies: '(r.score > $5::bigint OR r.subscore > $6::bigint)',
  },
  set: {
    score: '$5::bigint',
    subscore: '$6::bigint',
    applies: '(r.score <> $5::bigint OR r.subscore <> $6::bigint)',
  },
  increment: {
    score: 'r.score + $5::bigint',
    subscore: 'r.subscore + $6::bigint',
    applies: '($5::bigint <> 0 OR $6::bigint <> 0)',
  },
  decrement: {
    score: 'GREATEST(r.score - $5::bigint, 0)',
    subscore: 'GREATEST(r.subscore - $6::bigint, 0)',
    applies: '($5::bigint <> 0 OR $6::bigint <> 0)',
  },
} as const;

type RuleName = keyof typeof rules;

// $1 board, $2 expiry in unix seconds, $3 owner, $4 username, $5 and $6 scores, $7 metadata or null, $8 when the board was
// created. No row: the board is another one by now; or the owner is no user, of whom `user` statements make sure, until
// they end, that no erasure misses the record; or the record came meanwhile. The board stays as long, so that nothing is
// written by rules that hold no longer.
function writeStatement(name: RuleName, owner: 'user' | 'any'): Statement<WriteRow> {
  const { score, subscore, applies } = rules[name];
  const [first, second] = name === 'decrement' ? ['0', '0'] : ['$5::bigint', '$6::bigint'];
  const [from, where] = owner === 'user' ? [', users u', 'AND u.id = $3::uuid'] : ['', ''];
  return sql<WriteRow>(
    `records_write_${name.toLowerCase()}_${owner}`,
    `WITH place AS (
       SELECT b.id, clock_timestamp() AS at FROM leaderboard b${from}
       WHERE b.id = $1 AND b.create_time = $8::timestamptz ${where} FOR KEY SHARE
     ), written AS (
       INSERT INTO leaderboard_record AS r (leaderboard_id, expiry_time, owner_id, username, score, subscore, metadata,
         create_time, update_time)
       SELECT id, to_timestamp($2), $3::uuid, $4, ${first}, ${second}, COALESCE($7::jsonb, '{}'), at, at FROM place
       ON CONFLICT (owner_id, leaderboard_id, expiry_time) DO UPDATE SET
         score = ${score}, subscore = ${subscore}, num_score = r.num_score + 1, update_time = excluded.update_time,
         metadata = COALESCE($7::jsonb, r.metadata), username = COALESCE(excluded.username, r.username)
       WHERE ${applies}
       RETURNING ${ofR}
     )
     SELECT TRUE AS applied, ${returned} FROM written
     UNION ALL
     SELECT FALSE, ${ofR} FROM place JOIN leaderboard_record r
       ON r.leaderboard_id = place.id AND r.expiry_time = to_timestamp($2) AND r.owner_id = $3::uuid
     WHERE NOT EXISTS (SELECT 1 FROM written)`,
    'write',
  );
}

const statementsFor = (name: RuleName) => ({ user: writeStatement(name, 'user'), any: writeStatement(name, 'any') });

const statements = {
  bestDown: statementsFor('bestDown'),
  bestUp: statementsFor('bestUp'),
  set: statementsFor('set'),
  increment: statementsFor('increment'),
  decrement: statementsFor('decrement'),
};

/**
 * The statement that writes with an operator.
 * @param owner `user`: the owner must be one, which keeps the record from outliving the account.
 */
export function statementOf(board: Board, operator: Operator, owner: 'user' | 'any'): Statement<WriteRow> {
  return statements[ruleOf(board, operator)][owner];
}

/** Does the operator change a record with these scores? The same rules as in the statements. */
export function applies(
  board: Board,
  operator: Operator,
  old: { score: bigint; subscore: bigint },
  given: { score: bigint; subscore: bigint },
): boolean {
  switch (ruleOf(board, operator)) {
    case 'bestDown':
      return old.score < given.score || old.subscore < given.subscore;
    case 'bestUp':
      return old.score > given.score || old.subscore > given.subscore;
    case 'set':
      return old.score !== given.score || old.subscore !== given.subscore;
    default:
      return given.score !== 0n || given.subscore !== 0n;
  }
}

function ruleOf(board: Board, operator: Operator): RuleName {
  switch (operator) {
    case Operator.BEST:
      return board.descending ? 'bestDown' : 'bestUp';
    case Operator.SET:
      return 'set';
    case Operator.INCREMENT:
      return 'increment';
    case Operator.DECREMENT:
      return 'decrement';
  }
}

export const userExists = sql<{ id: string }>('records_user_exists', 'SELECT id FROM users WHERE id = $1', 'read');
